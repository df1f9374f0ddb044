#include "tests/store/sqlite/faulty_disk.hpp"

#include <sqlite3.h>

#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace sema::test {

// An SQLite VFS that hands all on to the one it replaces. Its files offer no shared memory, so a database
// in WAL mode can be opened through it only when it is locked for one process from the start.
struct FaultyDisk::State {
    sqlite3_vfs vfs{};
    sqlite3_vfs* real = nullptr;
    bool full = false;
    bool syncs_fail = false;
    /// By path, the content at the last fsync. What was never synced is not there.
    std::map<std::string, std::vector<char>> surviving;
};

namespace {

using State = FaultyDisk::State;

struct File {
    sqlite3_file base;
    State* state;
    const char* path;
    /// Where the real VFS keeps its part: right behind this struct.
    sqlite3_file* real;
};

File& file(sqlite3_file* base) {
    return *reinterpret_cast<File*>(base);
}

State& state(sqlite3_vfs* vfs) {
    return *static_cast<State*>(vfs->pAppData);
}

int write(sqlite3_file* base, const void* bytes, int size, sqlite3_int64 offset) {
    File& f = file(base);
    if (f.state->full) return SQLITE_FULL;
    return f.real->pMethods->xWrite(f.real, bytes, size, offset);
}

int sync(sqlite3_file* base, int flags) {
    File& f = file(base);
    if (f.state->syncs_fail) return SQLITE_IOERR_FSYNC;
    if (const int code = f.real->pMethods->xSync(f.real, flags)) return code;
    sqlite3_int64 size = 0;
    if (const int code = f.real->pMethods->xFileSize(f.real, &size)) return code;
    std::vector<char> content(static_cast<std::size_t>(size));
    if (const int code = f.real->pMethods->xRead(f.real, content.data(), static_cast<int>(size), 0))
        return code;
    f.state->surviving[f.path] = std::move(content);
    return SQLITE_OK;
}

int close(sqlite3_file* base) {
    sqlite3_file* real = file(base).real;
    return real->pMethods->xClose(real);
}

int read(sqlite3_file* base, void* bytes, int size, sqlite3_int64 offset) {
    sqlite3_file* real = file(base).real;
    return real->pMethods->xRead(real, bytes, size, offset);
}

int truncate(sqlite3_file* base, sqlite3_int64 size) {
    sqlite3_file* real = file(base).real;
    return real->pMethods->xTruncate(real, size);
}

int file_size(sqlite3_file* base, sqlite3_int64* size) {
    sqlite3_file* real = file(base).real;
    return real->pMethods->xFileSize(real, size);
}

int lock(sqlite3_file* base, int kind) {
    sqlite3_file* real = file(base).real;
    return real->pMethods->xLock(real, kind);
}

int unlock(sqlite3_file* base, int kind) {
    sqlite3_file* real = file(base).real;
    return real->pMethods->xUnlock(real, kind);
}

int check_reserved_lock(sqlite3_file* base, int* reserved) {
    sqlite3_file* real = file(base).real;
    return real->pMethods->xCheckReservedLock(real, reserved);
}

int file_control(sqlite3_file* base, int operation, void* argument) {
    sqlite3_file* real = file(base).real;
    return real->pMethods->xFileControl(real, operation, argument);
}

int sector_size(sqlite3_file* base) {
    sqlite3_file* real = file(base).real;
    return real->pMethods->xSectorSize(real);
}

int device_characteristics(sqlite3_file* base) {
    sqlite3_file* real = file(base).real;
    return real->pMethods->xDeviceCharacteristics(real);
}

const sqlite3_io_methods methods = [] {
    sqlite3_io_methods m{};
    m.iVersion = 1;
    m.xClose = close;
    m.xRead = read;
    m.xWrite = write;
    m.xTruncate = truncate;
    m.xSync = sync;
    m.xFileSize = file_size;
    m.xLock = lock;
    m.xUnlock = unlock;
    m.xCheckReservedLock = check_reserved_lock;
    m.xFileControl = file_control;
    m.xSectorSize = sector_size;
    m.xDeviceCharacteristics = device_characteristics;
    return m;
}();

int open(sqlite3_vfs* vfs, const char* path, sqlite3_file* base, int flags, int* flags_out) {
    State& s = state(vfs);
    File& f = file(base);
    f = File{{nullptr}, &s, path, reinterpret_cast<sqlite3_file*>(&f + 1)};
    const int code = s.real->xOpen(s.real, path, f.real, flags, flags_out);
    // Without methods, SQLite takes the file for one that needs no closing.
    if (f.real->pMethods != nullptr) f.base.pMethods = &methods;
    return code;
}

int remove(sqlite3_vfs* vfs, const char* path, int sync_folder) {
    State& s = state(vfs);
    const int code = s.real->xDelete(s.real, path, sync_folder);
    if (code == SQLITE_OK) s.surviving.erase(path);
    return code;
}

}  // namespace

FaultyDisk::FaultyDisk() : state_(std::make_unique<State>()) {
    state_->real = sqlite3_vfs_find(nullptr);
    // All that concerns no open file is the real one's own, which does not mind through whom it is called.
    state_->vfs = *state_->real;
    state_->vfs.zName = "sema-faulty-disk";
    state_->vfs.szOsFile = static_cast<int>(sizeof(File)) + state_->real->szOsFile;
    state_->vfs.pAppData = state_.get();
    state_->vfs.xOpen = open;
    state_->vfs.xDelete = remove;
    sqlite3_vfs_register(&state_->vfs, /*makeDflt=*/1);
}

FaultyDisk::~FaultyDisk() {
    sqlite3_vfs_unregister(&state_->vfs);
    sqlite3_vfs_register(state_->real, /*makeDflt=*/1);
}

void FaultyDisk::copy_what_survives(const std::filesystem::path& folder) const {
    for (const auto& [path, content] : state_->surviving) {
        std::ofstream copy(folder / std::filesystem::path(path).filename(), std::ios::binary);
        copy.write(content.data(), static_cast<std::streamsize>(content.size()));
        if (!copy.flush()) throw std::runtime_error("cannot write to " + folder.string());
    }
}

void FaultyDisk::fill_up() {
    state_->full = true;
}

void FaultyDisk::fail_syncs() {
    state_->syncs_fail = true;
}

void FaultyDisk::heal() {
    state_->full = false;
    state_->syncs_fail = false;
}

}  // namespace sema::test
