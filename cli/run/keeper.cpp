#include "cli/run/keeper.hpp"

#include "common/overloaded.hpp"

#include <poll.h>

#include <algorithm>
#include <utility>

namespace sema {

using namespace std::chrono_literals;

void Keeper::proceed(Moment now) {
    if (is_stopped_) return;
    if (asking_) {
        const auto answer = client_->keepalive_answer();
        if (!answer) return;
        take_in(leases_[*std::exchange(asking_, std::nullopt)], *answer, now);
    }
    // Of several that are due the one that ends first.
    std::optional<std::size_t> next;
    for (std::size_t i = 0; i < leases_.size(); ++i) {
        if (!leases_[i].upkeep.is_keepalive_due(now)) continue;
        if (!next || leases_[i].upkeep.kill_at() < leases_[*next].upkeep.kill_at()) next = i;
    }
    if (!next) return;
    Kept& kept = leases_[*next];
    const Duration limit = kept.upkeep.begin_keepalive(now);
    if (!client_) {
        client_ = std::make_unique<Client>(server_);
        client_->expect_semad();
    }
    client_->begin_keepalive(kept.lease.pool().id, kept.lease.grant().lease.lease, kept.ttl, limit);
    asking_ = next;
}

void Keeper::take_in(Kept& kept, const KeepaliveAnswer& answer, Moment now) {
    const std::string& pool = kept.lease.pool().name;
    const auto trouble = [&](const std::string& reason) {
        kept.upkeep.failed(now);
        if (std::exchange(trouble_, reason) == reason) return;
        console_.note(pool + ": cannot renew the lease: " + server_.name + " " + reason +
                      " (trying again until it ends)");
    };
    std::visit(Overloaded{[&](const wire::Renewed& renewed) {
                              if (!renewed.lease) {
                                  kept.upkeep.ended();
                                  kept.lease.disown();
                                  lost_ = Lost{pool, kept.ttl};
                                  return;
                              }
                              kept.upkeep.renewed(renewed.lease->expires_in);
                              if (!std::exchange(trouble_, "").empty())
                                  console_.note(pool + ": the lease is renewed again");
                              console_.detail(pool + ": renewed the lease for " +
                                              describe(std::chrono::seconds(renewed.lease->expires_in)));
                          },
                          [&](const NotRenewable&) {
                              kept.upkeep.stop_renewing();
                              console_.note(pool +
                                            ": its leases cannot be renewed: the command is stopped when "
                                            "the ttl ends");
                          },
                          [&](const auto& why) { trouble(predicate(why)); }},
               answer);
}

Upkeep::Step Keeper::due(Moment now) const {
    Upkeep::Step step = Upkeep::Step::none;
    for (const Kept& kept : leases_)
        step = std::max(step, kept.upkeep.due(now));
    return step;
}

std::string Keeper::why_ending() const {
    const auto any = [this](bool (Upkeep::*is)() const) {
        return std::any_of(leases_.begin(), leases_.end(),
                           [is](const Kept& kept) { return (kept.upkeep.*is)(); });
    };
    if (!any(&Upkeep::renews)) return " (give a longer --ttl)";
    const bool is_limit = trouble_.empty() && any(&Upkeep::is_cut);
    return is_limit ? " (the server renews it no further)" : " (it could not be renewed in time)";
}

std::optional<Keeper::Lost> Keeper::take_lost() {
    return std::exchange(lost_, std::nullopt);
}

void Keeper::stop() {
    is_stopped_ = true;
    asking_.reset();
    if (client_) client_->drop_keepalive();
}

Moment Keeper::next_deadline(Moment now) const {
    Moment next = Moment::max();
    for (const Kept& kept : leases_) {
        const bool waits_its_turn = asking_.has_value() && kept.upkeep.is_keepalive_due(now);
        if (!waits_its_turn) next = std::min(next, kept.upkeep.next_deadline(now));
    }
    return next;
}

void Keeper::wait(const std::vector<int>& wakes, Duration limit) {
    if (client_) return client_->wait(wakes, limit);
    std::vector<pollfd> descriptors;
    for (const int wake : wakes)
        descriptors.push_back({wake, POLLIN, 0});
    const auto round = std::chrono::ceil<std::chrono::milliseconds>(std::min<Duration>(limit, 1h));
    poll(descriptors.data(), descriptors.size(), static_cast<int>(round.count()));
}

void Keeper::give_back(Returning::Deadline deadline) {
    stop();
    Returning returning(std::move(deadline));
    for (auto kept = leases_.rbegin(); kept != leases_.rend(); ++kept)
        returning.add(kept->lease, kept->upkeep.ends_at());
    returning.run();
}

void Keeper::disown() {
    stop();
    for (Kept& kept : leases_)
        kept.lease.disown();
}

}  // namespace sema
