#pragma once

#include <filesystem>
#include <string>

namespace sema {

/// What the network file system is called that the file is on. Empty where it is on a disk of this machine,
/// as far as the operating system shows, and where there is no such file.
std::string network_file_system(const std::filesystem::path& file);

}  // namespace sema
