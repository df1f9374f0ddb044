#include "common/ids.hpp"

#include "tests/support/catch.hpp"

#include <set>

using sema::PoolId;

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
        seen.insert(id);
    }
    CHECK(seen.size() == 1000);
}
