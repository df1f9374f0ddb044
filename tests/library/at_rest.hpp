#pragma once

#include "tests/support/eventually.hpp"

#include <filesystem>
#include <fstream>
#include <string>

namespace sema::test {

/// Waits until no other thread of this process runs. A heap that hears of no forks, as the address
/// sanitizer's of g++ 12, is locked for ever in the child where another thread was in it: a child may
/// allocate after this.
inline void wait_for_rest() {
    // By the number that /proc has for it, which may be another namespace's.
    const auto self = std::filesystem::read_symlink("/proc/thread-self").filename();
    int quiet = 0;
    static_cast<void>(eventually([&] {
        bool all_sleep = true;
        for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
            std::string text;
            std::ifstream stat(task.path() / "stat");
            std::getline(stat, text);
            const auto name_end = text.rfind(") ");
            if (task.path().filename() != self && name_end != text.npos && text[name_end + 2] != 'S')
                all_sleep = false;
        }
        quiet = all_sleep ? quiet + 1 : 0;
        return quiet >= 20;
    }));
}

}  // namespace sema::test
