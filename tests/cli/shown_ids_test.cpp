#include "cli/dispatch/shown_ids.hpp"

#include "tests/support/catch.hpp"

using namespace sema;

TEST_CASE("the ids of tasks are shown, and the pool's own is not, in whatever form it is part of one") {
    const PoolId pool = PoolId::parse("0c6f1f0e-1f3b-4a58-9d0c-0d3c7a9f1e22").value();
    const std::string hash = "d41d8cd98f00b204e9800998ecf8427e";
    ShownIds ids(pool);
    CHECK_FALSE(ids.shows(hash));
    ids.add(hash);
    CHECK(ids.shows(hash));
    for (const std::string secret :
         {"0c6f1f0e-1f3b-4a58-9d0c-0d3c7a9f1e22", "job-0c6f1f0e-1f3b-4a58-9d0c-0d3c7a9f1e22",
          "0C6F1F0E-1F3B-4A58-9D0C-0D3C7A9F1E22-1", "a0c6f1f0e1f3b4a589d0c0d3c7a9f1e22"}) {
        CAPTURE(secret);
        ids.add(secret);
        CHECK_FALSE(ids.shows(secret));
    }
}
