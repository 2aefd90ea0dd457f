#!/usr/bin/env python3
"""Fails when a header uses a name of the standard library, of Asio, Boost.JSON or tl::expected without including where it comes from,
and when a source does not include its own header first.

Those libraries are precompiled in every build, so the compiler does not notice. Our own headers are not: that a header includes what
it needs of them is seen where its source is compiled, or by `headers_alone` for a header without a source.
"""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)

# header -> the names of std that it stands for; a name in several headers is satisfied by any of them
STD = {
    "algorithm": "sort stable_sort find find_if find_if_not any_of all_of none_of min max clamp copy fill remove_if reverse "
                 "equal lower_bound upper_bound transform count count_if unique max_element min_element binary_search mismatch",
    "array": "array to_array",
    "atomic": "atomic atomic_bool atomic_flag memory_order_acquire memory_order_release memory_order_relaxed",
    "chrono": "chrono", "compare": "strong_ordering weak_ordering partial_ordering", "concepts": "same_as convertible_to invocable integral",
    "condition_variable": "condition_variable", "coroutine": "coroutine_handle suspend_always suspend_never",
    "cstddef": "size_t byte ptrdiff_t nullptr_t max_align_t",
    "cstdint": "int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t uintptr_t intptr_t",
    "cstdio": "FILE fopen fclose rename remove", "cstring": "memcpy memcmp memset strlen strerror strcmp memmove", "deque": "deque",
    "exception": "exception exception_ptr current_exception rethrow_exception terminate make_exception_ptr",
    "filesystem": "filesystem", "fstream": "ifstream ofstream fstream", "functional": "function hash less equal_to invoke reference_wrapper ref cref",
    "future": "future promise", "initializer_list": "initializer_list", "iterator": "back_inserter inserter distance next prev make_move_iterator",
    "limits": "numeric_limits", "list": "list", "map": "map multimap", "memory": "unique_ptr shared_ptr weak_ptr make_unique make_shared enable_shared_from_this addressof",
    "mutex": "mutex lock_guard scoped_lock unique_lock once_flag call_once", "numeric": "accumulate iota", "optional": "optional nullopt nullopt_t make_optional",
    "queue": "queue priority_queue", "random": "mt19937 mt19937_64 random_device", "regex": "regex smatch", "set": "set multiset",
    "shared_mutex": "shared_mutex shared_lock", "source_location": "source_location", "span": "span", "sstream": "ostringstream istringstream stringstream",
    "stdexcept": "runtime_error logic_error out_of_range invalid_argument", "stop_token": "stop_token stop_source", "string": "string to_string stoi stoul stoull getline",
    "string_view": "string_view", "system_error": "error_code system_error errc generic_category system_category", "thread": "thread jthread this_thread",
    "tuple": "tuple tie make_tuple", "type_traits": "is_same_v decay_t remove_cvref_t enable_if_t conditional_t is_void_v invoke_result_t is_base_of_v underlying_type_t",
    "typeindex": "type_index", "unordered_map": "unordered_map", "unordered_set": "unordered_set",
    "utility": "move forward pair exchange swap make_pair in_place declval index_sequence", "variant": "variant monostate visit holds_alternative get_if",
    "vector": "vector", "version": "",
}
# Names that another header of the language surely brings along.
ALSO = {
    "size_t": {"cstdint", "memory", "chrono", "list", "cstdlib", "cstring", "string", "vector", "span", "array", "string_view", "map", "functional"},
    "move": {"string", "vector", "memory", "optional", "functional", "map", "variant", "algorithm", "tuple", "deque", "list", "set", "utility", "expected"},
    "forward": {"memory", "optional", "functional", "tuple"}, "pair": {"map", "vector", "unordered_map"}, "swap": {"string", "vector"},
    "byte": set(), "getline": {"iostream"}, "string_view": {"string"}, "initializer_list": {"string", "vector", "map"},
    "nullopt": set(), "remove": {"algorithm"}, "exception_ptr": {"future"}, "hash": {"string", "memory", "optional"}, "back_inserter": {"string"},
    "exception": {"tl/expected.hpp", "stdexcept", "boost/asio/awaitable.hpp"}, "is_void_v": {"tl/expected.hpp", "boost/asio/awaitable.hpp"},
    "int64_t": {"atomic"}, "error_code": {"filesystem"},
    "chrono": {"boost/asio/steady_timer.hpp"},
}
OTHERS = [  # pattern of use, what an include must match
    (r"\btl::(expected|unexpected|make_unexpected)\b", r"tl/expected\.hpp|base/result\.h"),
    (r"\bboost::json::|(?<![\w:])json::", r"boost/json|base/json\.h"),
    (r"\bboost::asio::|(?<![\w:])asio::", r"boost/asio|boost/beast|base/(asio|task)\w*\.h"),
]

where = {}
for header, names in STD.items():
    for name in names.split():
        where.setdefault(name, set()).add(header)
for name, headers in ALSO.items():
    where[name] = where.get(name, set()) | headers


def code_of(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"//.*", "", text)
    return re.sub(r'"(\\.|[^"\\\n])*"', '""', re.sub(r"^\s*#.*$", "", text, flags=re.M))


def reached(path, seen):
    """What a header includes, itself or by way of ours: the names as they stand in the #include lines."""
    if path in seen:
        return set()
    seen.add(path)
    found = set()
    for name in re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(errors="replace"), re.M):
        found.add(name)
        for folder in (path.parent, root / "src", root / "sdk/cpp/include"):
            if (folder / name).is_file():
                found |= reached((folder / name).resolve(), seen)
                break
    return found


def problems_of(path):
    includes = reached(path.resolve(), set())
    code = code_of(path.read_text(errors="replace"))
    for name in sorted(set(re.findall(r"\bstd::(\w+)", code))):
        wanted = where.get(name)
        if wanted and not wanted & includes:
            yield f"std::{name} without <{min(h for h, names in STD.items() if name in names.split())}>"
    for use, source in OTHERS:
        found = re.search(use, code)
        if found and not any(re.search(source, name) for name in includes):
            yield f"{found.group(0)} without an include of {source}"


def main():
    found = 0
    for folder in ("src", "sdk/cpp/include"):
        for path in sorted((root / folder).rglob("*.h")):
            for problem in problems_of(path):
                found += 1
                print(f"{path.relative_to(root)}: {problem}")
        for path in sorted((root / folder.removesuffix("/include")).rglob("*.cpp")):
            first = re.search(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(errors="replace"), re.M)
            own = path.with_suffix(".h")
            if own.is_file() and (not first or pathlib.Path(first.group(1)).name != own.name):
                found += 1
                print(f"{path.relative_to(root)}: its own header is not the first that it includes")
    if not found:
        print("includes: every header includes what it uses of the precompiled ones")
    return bool(found)


sys.exit(main())
