#include "client/semad_errors.hpp"

#include <algorithm>
#include <initializer_list>

namespace sema {
namespace {

using Texts = std::initializer_list<std::string_view>;

bool is_one_of(std::string_view reason, Texts texts) {
    return std::find(texts.begin(), texts.end(), reason) != texts.end();
}

bool begins_with_one_of(std::string_view reason, Texts texts) {
    return std::any_of(texts.begin(), texts.end(),
                       [reason](std::string_view text) { return reason.substr(0, text.size()) == text; });
}

// What a 400 is about: the reason begins with it, and names a part of it after a dot.
bool names_a_field(std::string_view reason) {
    return is_one_of(reason.substr(0, reason.find_first_of(" .")),
                     {"body",      "by",    "callback", "cooldown", "count", "fence",    "holder",   "id",
                      "lease",     "limit", "name",     "out",      "pick",  "position", "priority", "reason",
                      "renewable", "since", "slots",    "ttl",      "wait",  "what_if"});
}

}  // namespace

bool is_semads_error(long status, std::string_view reason) {
    switch (status) {
        case 400:
            return names_a_field(reason);
        case 401:
            return begins_with_one_of(reason, {"admin token required"});
        case 403:
            return reason == "wrong admin token";
        case 404:
            return is_one_of(reason, {"no such pool", "no such slot", "no such path"});
        case 405:
            return begins_with_one_of(reason, {"method not allowed: use "});
        case 409:
            return is_one_of(reason, {"no resource available", "taken over by a newer request", "cancelled",
                                      "lease id in use", "lease is not renewable"}) ||
                   // Of a store that is backed up in another way.
                   begins_with_one_of(reason, {"the pools are in ", "memory: "});
        case 413:
            return begins_with_one_of(reason, {"request body is larger than "});
        case 500:
            return reason == "internal error";
        case 502:
            return reason == "database command failed";
        case 503:
            return begins_with_one_of(reason, {"shutting down", "too many ", "a backup is under way",
                                               "the store cannot be reached", "a thread that serves "});
        default:
            // Those are for requests that semactl does not send.
            return false;
    }
}

}  // namespace sema
