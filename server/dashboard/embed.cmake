# Writes the C++ file OUTPUT, which has the texts of FILES in FOLDER (see assets.hpp).
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")

set(entries "")
foreach(file IN LISTS FILES)
  cmake_path(GET file EXTENSION LAST_ONLY extension)
  string(SUBSTRING "${extension}" 1 -1 extension)
  file(READ "${FOLDER}/${file}" content)
  string(SHA256 hash "${content}")
  string(SUBSTRING ${hash} 0 16 hash)
  string(APPEND entries "    {\"${file}\", \"${type_${extension}}\",\n"
    "     R\"asset(${content})asset\",\n     \"\\\"${hash}\\\"\"},\n")
endforeach()

file(WRITE "${OUTPUT}" "// Made of the files in server/dashboard.
#include \"server/dashboard/assets.hpp\"

namespace sema {
namespace {

constexpr Asset assets[] = {
${entries}};

}  // namespace

std::span<const Asset> dashboard_assets() {
    return assets;
}

}  // namespace sema
")
