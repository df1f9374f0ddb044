// What a reader costs in memory, counted where memory is asked for. The counting is for the whole test
// program, which is why it lives in a file of its own.
#include "server/http/request_reader.hpp"
#include "tests/support/catch.hpp"

#include <cstdlib>
#include <new>

namespace {

thread_local long live_allocations = 0;
thread_local long all_allocations = 0;
thread_local std::size_t largest_allocation = 0;

}  // namespace

void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    void* memory = std::malloc(size);
    if (memory == nullptr) return nullptr;
    ++live_allocations;
    ++all_allocations;
    if (size > largest_allocation) largest_allocation = size;
    return memory;
}

void* operator new(std::size_t size) {
    void* memory = operator new(size, std::nothrow);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

void operator delete(void* memory) noexcept {
    if (memory != nullptr) --live_allocations;
    std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
    operator delete(memory);
}

using namespace sema::http;

namespace {

const std::string head =
    "POST /l/9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01/borrow HTTP/1.1\r\nHost: localhost:7717\r\n";
const std::string post = head + "Content-Length: 26\r\n\r\n{\"ttl\": 3600, \"wait\": 300}";

bool takes_message(RequestReader& reader) {
    return std::holds_alternative<Message>(reader.next());
}

}  // namespace

TEST_CASE("a reader holds no heap memory between requests") {
    RequestReader reader{Limits{}};
    const long before = live_allocations;
    reader.feed(post);
    CHECK(live_allocations > before);
    REQUIRE(takes_message(reader));
    CHECK(live_allocations == before);

    for (int i = 0; i < 100; ++i) {
        reader.feed(post);
    }
    for (int i = 0; i < 100; ++i) {
        REQUIRE(takes_message(reader));
    }
    CHECK(live_allocations == before);

    reader.feed(head + "Authorization: Bearer " + std::string(100, 'x') + "\r\n\r\n");
    REQUIRE(takes_message(reader));
    CHECK(live_allocations == before);

    reader.feed(head + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n");
    REQUIRE(std::holds_alternative<NeedMore>(reader.next()));
    reader.feed("\r\n");
    REQUIRE(takes_message(reader));
    CHECK(live_allocations == before);
}

TEST_CASE("a reader holds no request once it refused one") {
    RequestReader reader{Limits{}};
    const long before = live_allocations;
    reader.feed(head + "Transfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n");
    REQUIRE(std::holds_alternative<NeedMore>(reader.next()));
    reader.feed(std::string(40, 'x'));
    REQUIRE(std::holds_alternative<NeedMore>(reader.next()));
    reader.feed("\r\n");
    REQUIRE(std::holds_alternative<BadRequest>(reader.next()));
    CHECK(live_allocations <= before + 1);  // the reason
    CHECK(reader.buffered() == 0);
}

TEST_CASE("a body that comes a byte at a time is not copied anew for each") {
    RequestReader reader{Limits{}};
    reader.feed(head + "Content-Length: 65536\r\n\r\n");
    const long before = all_allocations;
    for (int i = 0; i < 65535; ++i) {
        reader.feed("x");
        REQUIRE(std::holds_alternative<NeedMore>(reader.next()));
    }
    reader.feed("x");
    REQUIRE(takes_message(reader));
    CHECK(all_allocations - before < 100);
}

TEST_CASE("requests that keep coming before the last was taken do not pile up what was read") {
    RequestReader reader{Limits{}};
    reader.feed(post + post);
    largest_allocation = 0;
    for (int i = 0; i < 1'000; ++i) {
        reader.feed(post);
        REQUIRE(takes_message(reader));
        REQUIRE(reader.buffered() == 2 * post.size());
    }
    CHECK(largest_allocation < 10 * post.size());
}
