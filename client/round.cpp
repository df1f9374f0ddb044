#include "client/round.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

using namespace std::chrono_literals;

// Where another server is there to be asked: enough for a lost SYN to be sent again once.
constexpr Duration connect_limit_among_several = 2500ms;
constexpr Duration shortest = 20ms;

}  // namespace

Round::Round(const std::vector<ServerAddress>& servers, std::size_t first, Duration limit)
    : servers_(&servers), first_(first), end_(BootClock::now() + limit), why_(servers.size()) {}

Duration Round::limit() const {
    const auto left = static_cast<Duration::rep>(servers_->size() - failed_);
    return std::max((end_ - BootClock::now()) / left, shortest);
}

Duration Round::connect_limit(Duration usual) const {
    const bool is_last = failed_ + 1 == servers_->size();
    return std::min({usual, limit(), is_last ? usual : connect_limit_among_several});
}

void Round::fail(Away why) {
    const bool may_be_done = std::visit([](const auto& trouble) { return trouble.may_be_done; }, why);
    may_be_done_ = may_be_done_ || may_be_done;
    why_[server()] = std::move(why);
    ++failed_;
}

bool Round::has_next() const {
    return failed_ < servers_->size() && BootClock::now() < end_;
}

std::string Round::trouble(std::size_t server) const {
    return (*servers_)[server].name + " " +
           std::visit([](const auto& why) { return predicate(why); }, *why_[server]);
}

Round::End Round::end() const {
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < failed_; ++i) {
        const std::size_t server = (first_ + i) % servers_->size();
        if (!best || why_[server]->index() < why_[*best]->index()) best = server;
    }
    Away why = *why_[*best];
    std::string others;
    for (std::size_t server = 0; server < servers_->size(); ++server)
        if (server != *best && why_[server]) others += ", and " + trouble(server);
    std::visit(
        [&](auto& trouble) {
            trouble.reason += others;
            trouble.may_be_done = may_be_done_;
        },
        why);
    // It is about one of them.
    if (auto* unreachable = std::get_if<Unreachable>(&why); unreachable && !others.empty())
        unreachable->advice.clear();
    return {*best, std::move(why)};
}

std::string Round::troubles() const {
    std::string all;
    for (std::size_t server = 0; server < servers_->size(); ++server)
        if (why_[server]) all += (all.empty() ? "" : ", and ") + trouble(server);
    return all;
}

}  // namespace sema
