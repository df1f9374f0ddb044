// Preloaded into a program, this stands for memory that runs out: while the file exists that $NO_MEMORY
// names, or once for the one that $NO_MEMORY_ONCE names, which it removes.

#include <unistd.h>

#include <cstdlib>
#include <new>

void* operator new(std::size_t size) {
    const char* const file = std::getenv("NO_MEMORY");
    if (file != nullptr && access(file, F_OK) == 0) throw std::bad_alloc();
    const char* const once = std::getenv("NO_MEMORY_ONCE");
    if (once != nullptr && unlink(once) == 0) throw std::bad_alloc();
    if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
    throw std::bad_alloc();
}

void operator delete(void* memory) noexcept {
    std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
