#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace sema::test {

/// Takes what the test's process writes to its stderr, which is no terminal meanwhile.
class CapturedStderr {
  public:
    CapturedStderr() {
        std::fflush(stderr);
        dup2(fileno(file_), STDERR_FILENO);
    }
    ~CapturedStderr() {
        dup2(original_, STDERR_FILENO);
        close(original_);
        std::fclose(file_);
    }
    CapturedStderr(const CapturedStderr&) = delete;
    CapturedStderr& operator=(const CapturedStderr&) = delete;

    /// What came since the last time.
    std::string take() {
        std::string text;
        char bytes[4096];
        for (ssize_t size = 0; (size = pread(fileno(file_), bytes, sizeof bytes, read_)) > 0; read_ += size)
            text.append(bytes, static_cast<std::size_t>(size));
        return text;
    }

  private:
    const int original_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    std::FILE* const file_ = std::tmpfile();
    off_t read_ = 0;
};

}  // namespace sema::test
