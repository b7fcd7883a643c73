# cmake -DMANIFEST=.. -DLIBRARY=.. -DOUTPUT=.. -P weft_state_sha256.cmake: writes OUTPUT, the manifest with the library's
# hash. The member is put in as text, at the front: rewritten by string(JSON), the author's numbers, order and layout
# would not survive.
file(READ "${MANIFEST}" manifest)
string(JSON given ERROR_VARIABLE absent GET "${manifest}" sha256)
if(NOT absent)
  message(FATAL_ERROR "${MANIFEST}: /sha256 is \"${given}\"; it must not be given here. The build states it; remove it")
endif()
file(SHA256 "${LIBRARY}" hash)
string(FIND "${manifest}" "{" opening)
math(EXPR opening "${opening} + 1")
string(SUBSTRING "${manifest}" 0 ${opening} front)
string(SUBSTRING "${manifest}" ${opening} -1 rest)
file(WRITE "${OUTPUT}" "${front}\n  \"sha256\": \"${hash}\",${rest}")

# The host refuses what a group can write to, as a umask of 002 leaves it.
get_filename_component(folder "${OUTPUT}" DIRECTORY)
execute_process(COMMAND chmod go-w "${LIBRARY}" "${OUTPUT}" "${folder}" COMMAND_ERROR_IS_FATAL ANY)
