#pragma once

#include <sys/types.h>
#include <unistd.h>

namespace sema {

/// Whether this process's job is the one in the foreground of the terminal, which gets what is typed and may
/// move the cursor. Not where the file is no terminal, or not this process's controlling one.
inline bool is_in_foreground(int terminal) {
    return tcgetpgrp(terminal) == getpgrp();
}

/// Whether another job is, of those that share this process's controlling terminal.
inline bool is_in_background(int terminal) {
    const pid_t group = tcgetpgrp(terminal);
    return group >= 0 && group != getpgrp();
}

}  // namespace sema
