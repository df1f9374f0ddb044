#include "server/store/sqlite/network_file_system.hpp"

#include <sys/vfs.h>

#include <cstdint>

namespace sema {
namespace {

// As statfs(2) reports them; few of them are in the kernel's headers.
struct FileSystem {
    std::uint32_t type;
    const char* name;
};
constexpr FileSystem network_file_systems[] = {
    {0x6969, "NFS"},        {0xFF534D42, "CIFS"}, {0xFE534D42, "SMB"},   {0x517B, "SMB"},
    {0x5346414F, "AFS"},    {0x6B414653, "AFS"},  {0x00C36400, "Ceph"},  {0x73757245, "Coda"},
    {0x0BD00BD0, "Lustre"}, {0x47504653, "GPFS"}, {0x7461636F, "OCFS2"}, {0x01161970, "GFS2"},
    {0x01021997, "9P"},
};

}  // namespace

std::string network_file_system(const std::filesystem::path& file) {
    struct statfs info {};
    if (statfs(file.c_str(), &info) != 0) return "";
    // Its type is signed on some machines.
    const auto type = static_cast<std::uint32_t>(info.f_type);
    for (const FileSystem& known : network_file_systems) {
        if (known.type == type) return known.name;
    }
    return "";
}

}  // namespace sema
