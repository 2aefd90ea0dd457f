# agentrouter_e2e(<name> <suite>): a suite of its own pid namespace, so that several may run at once.
function(agentrouter_e2e name suite)
  cmake_path(ABSOLUTE_PATH suite)
  add_test(NAME ${name} COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tests/support/own_space.py ${suite})
  set_tests_properties(${name} PROPERTIES LABELS e2e TIMEOUT 900)
endfunction()
