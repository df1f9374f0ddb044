#include "common/ids.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/forked_child.hpp"

#include <mutex>
#include <set>
#include <thread>
#include <vector>

using sema::PoolId;
using sema::test::ForkedChild;

TEST_CASE("every text form of a UUID is read as the same id") {
    const std::string canonical = "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01";
    for (const char* text :
         {"9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01", "9F1C2E7A-5B3D-4C8E-A1F0-6D2B9C4E7A01",
          "9f1c2e7a5b3d4c8ea1f06d2b9c4e7a01", "{9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01}",
          "{9F1C2E7A5B3D4C8EA1F06D2B9C4E7A01}", "urn:uuid:9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01",
          "URN:UUID:9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01"}) {
        CAPTURE(text);
        const auto id = PoolId::parse(text);
        REQUIRE(id);
        CHECK(id->str() == canonical);
    }
}

TEST_CASE("the nil UUID and UUIDs of other versions are ids too") {
    CHECK(PoolId::parse("00000000-0000-0000-0000-000000000000"));
    CHECK(PoolId::parse("ffffffff-ffff-ffff-ffff-ffffffffffff"));
}

TEST_CASE("what is not a UUID is not read as an id") {
    for (const char* text :
         {"", "x", "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a0", "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a012",
          "9f1c2e7a-5b3d-4c8e-a1f06d2b9c4e7a01", "9f1c2e7a5b3d-4c8e-a1f0-6d2b9c4e7a01",
          "{9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01", "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01}",
          "(9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01)",
          "urn:uuid:", "urn:uuid:{9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01}",
          "urn:uuid:urn:uuid:9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01", " 9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01",
          "9f1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01 ", "gf1c2e7a-5b3d-4c8e-a1f0-6d2b9c4e7a01"}) {
        CAPTURE(text);
        CHECK_FALSE(PoolId::parse(text));
    }
    CHECK_FALSE(PoolId::parse(std::string_view("9f1c2e7a5b3d4c8ea1f06d2b9c4e7a0\0", 32)));
}

TEST_CASE("random ids are version 4 and differ") {
    std::set<PoolId> seen;
    for (int i = 0; i < 1000; ++i) {
        const auto id = PoolId::random();
        CHECK(id.uuid().version() == boost::uuids::uuid::version_random_number_based);
        CHECK(id.uuid().variant() == boost::uuids::uuid::variant_rfc_4122);
        seen.insert(id);
    }
    CHECK(seen.size() == 1000);
}

TEST_CASE("every bit of a random id but those of its version and variant differs between ids") {
    boost::uuids::uuid ever_one{};
    boost::uuids::uuid ever_zero{};
    for (int i = 0; i < 1000; ++i) {
        const auto id = PoolId::random().uuid();
        for (std::size_t byte = 0; byte < id.size(); ++byte) {
            ever_one.begin()[byte] = static_cast<std::uint8_t>(ever_one.begin()[byte] | id.begin()[byte]);
            ever_zero.begin()[byte] = static_cast<std::uint8_t>(ever_zero.begin()[byte] | ~id.begin()[byte]);
        }
    }
    for (std::size_t byte = 0; byte < ever_one.size(); ++byte) {
        CAPTURE(byte);
        const int fixed = byte == 6 ? 0xf0 : byte == 8 ? 0xc0 : 0;
        CHECK((ever_one.begin()[byte] & ever_zero.begin()[byte]) == (0xff & ~fixed));
    }
}

TEST_CASE("a forked process makes other ids than its parent") {
    // From here on there is randomness in store.
    static_cast<void>(PoolId::random());
    constexpr int count = 100;
    ForkedChild child([](const ForkedChild::Report& report) {
        for (int i = 0; i < count; ++i)
            report(PoolId::random().str());
    });
    std::set<std::string> seen;
    for (int i = 0; i < count; ++i) {
        seen.insert(PoolId::random().str());
        seen.insert(child.next_line().value());
    }
    CHECK(seen.size() == 2 * count);
}

TEST_CASE("threads make different ids") {
    constexpr int count = 100;
    std::mutex mutex;
    std::set<PoolId> seen;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < count; ++n) {
                const auto id = PoolId::random();
                const std::lock_guard lock(mutex);
                seen.insert(id);
            }
        });
    }
    for (auto& thread : threads)
        thread.join();
    CHECK(seen.size() == 4 * count);
}
