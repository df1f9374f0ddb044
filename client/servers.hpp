#pragma once

#include "client/server_address.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace sema {

/// The servers of a client, over one store, and what its calls have got to know of them. One thread at a
/// time.
struct Servers {
    /// REQUIRES: there is one.
    std::vector<ServerAddress> list;
    /// The one that the last call's answer or trouble is of: the next call goes there first.
    std::size_t current = 0;
    /// The one that had a pool last.
    std::optional<std::size_t> home{};
    bool semad_was_heard = false;
    /// The two sides agreed on TLS, or on none: there was an answer, of a semad or not.
    bool was_answered = false;
    /// What is wrong with the servers before the one that answered the last call; empty where that was the
    /// first to be asked.
    std::string passed_over{};

    bool has_several() const { return list.size() > 1; }
};

}  // namespace sema
