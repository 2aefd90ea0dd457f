# The published description of the API, from YAML to JSON inside the program: a server answers it without any file beside it.
function(agentrouter_embed_openapi target)
  set(script ${PROJECT_SOURCE_DIR}/tools/openapi_json.py)
  set(document ${PROJECT_SOURCE_DIR}/openapi/openapi.yaml)
  set(source ${PROJECT_BINARY_DIR}/generated/openapi_document.cpp)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/generated)
  add_custom_command(OUTPUT ${source} COMMAND Python3::Interpreter ${script} ${document} ${source}
                     DEPENDS ${script} ${document} VERBATIM)
  target_sources(${target} PRIVATE ${source})
  set_source_files_properties(${source} PROPERTIES SKIP_PRECOMPILE_HEADERS ON SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()
