#include "cli/own_command_line.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace sema {

OwnCommandLine::OwnCommandLine(int stat) {
    if (stat < 0) return;
    std::array<char, 2048> text{};
    const bool is_read = read(stat, text.data(), text.size() - 1) > 0;
    close(stat);
    // proc(5): behind the name in parentheses comes the third field; arg_start and arg_end are the 48th and
    // the 49th.
    const char* field = is_read ? std::strrchr(text.data(), ')') : nullptr;
    for (int number = 2; field != nullptr && number < 48; ++number)
        field = std::strchr(field + 1, ' ');
    if (field == nullptr) return;
    char* rest = nullptr;
    const std::uintptr_t begin = std::strtoull(field, &rest, 10);
    const std::uintptr_t end = std::strtoull(rest, nullptr, 10);
    if (begin == 0 || end <= begin) return;
    // The memory belongs to main()'s arguments.
    begin_ = reinterpret_cast<char*>(begin);
    end_ = reinterpret_cast<char*>(end);
}

void OwnCommandLine::replace(const char* name) const {
    if (begin_ == end_) return;
    const auto size = static_cast<std::size_t>(end_ - begin_);
    std::memset(begin_, 0, size);
    std::memcpy(begin_, name, std::min(size - 1, std::strlen(name)));
}

}  // namespace sema
