// What is started inside: the first thing it does is to write the time. With an argument it then waits for
// the end of its input. Without a library, so that a sandbox's start-up and not the loader's is measured.

namespace {

long call(long number, long a, long b, long c) {
  long result;
  asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

}  // namespace

extern "C" [[noreturn]] __attribute__((used)) void stamp_main(const long* stack) {
  constexpr long sys_read = 0, sys_write = 1, sys_exit = 60, sys_clock_gettime = 228;
  long now[2];
  call(sys_clock_gettime, 1, reinterpret_cast<long>(now), 0);
  call(sys_write, 1, reinterpret_cast<long>(now), sizeof now);
  char byte;
  while (stack[0] > 1 && call(sys_read, 0, reinterpret_cast<long>(&byte), 1) > 0) {
  }
  for (;;) call(sys_exit, 0, 0, 0);
}

asm(".globl _start\n_start:\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call stamp_main\n");
