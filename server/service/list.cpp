#include "server/service/state.hpp"

#include <algorithm>
#include <utility>

namespace sema {
namespace {

// A list takes more than a hundred bytes for each pool until whoever asked has it. Nobody needs many at a
// time.
constexpr unsigned most_lists = 4;

// Nobody else is at the store while so many pools are read from it: less than a millisecond.
constexpr std::size_t pools_per_page = 25;

/// The text of a list, which counts among all while it is there.
struct Listed {
    std::string json;
    std::shared_ptr<void> place;
};

wire::PoolList::Entry entry_of(const PoolId& id, const Pool& pool) {
    return {id,
            pool.settings() ? pool.settings()->name : "",
            pool.count(),
            pool.in_use(),
            pool.available(),
            pool.waiting()};
}

bool by_id(const wire::PoolList::Entry& a, const wire::PoolList::Entry& b) {
    return a.id < b.id;
}

}  // namespace

void Service::list_pools(Reply reply) {
    if (draining_) return reply(Refusal::shutting_down);
    if (lists_->fetch_add(1) >= most_lists) {
        --*lists_;
        return reply(Refusal::too_many_lists);
    }
    std::shared_ptr<void> place(nullptr, [lists = lists_](void*) { --*lists; });
    const std::shared_ptr<Listing> listing(
        new Listing{std::move(reply), std::move(place), wire::PoolListWriter(pools_)});
    {
        const MutexLock lock(listings_mutex_);
        listings_.push_back(listing);
    }
    work_ = true;
}

/// Finishes a page of the first list that was asked for, and begins the next one. Each answer that a page
/// rests on comes within flush(), before this is called there.
void Service::go_on_listing() {
    std::shared_ptr<Listing> listing;
    {
        const MutexLock lock(listings_mutex_);
        if (listings_.empty()) return;
        listing = listings_.front();
    }
    if (listing->awaited > 0) return;
    work_ = true;
    auto& page = listing->page;
    std::sort(page.begin(), page.end(), by_id);
    for (const auto& pool : page)
        listing->list.add(pool);
    page.clear();
    if (draining_) listing->refusal = Refusal::shutting_down;
    if (!listing->refusal && !listing->is_last_page) return list_next(listing);
    {
        const MutexLock lock(listings_mutex_);
        listings_.pop_front();
    }
    if (listing->refusal) return listing->reply(*listing->refusal);
    const auto listed =
        std::make_shared<const Listed>(Listed{std::move(listing->list).finish(), std::move(listing->place)});
    listing->reply(PoolsListed{{listed, &listed->json}});
}

void Service::list_next(const std::shared_ptr<Listing>& listing) {
    const auto ids = store_.pools_after(listing->last, pools_per_page);
    if (!ids) {
        report(ids.error().message);
        listing->refusal = Refusal::store_failed;
        return;
    }
    listing->is_last_page = ids->size() < pools_per_page;
    if (!ids->empty()) listing->last = ids->back();
    for (const PoolId& id : *ids)
        is_used(id) ? list_used(listing, id) : list_unused(*listing, id);
}

/// Whether more is known of it than the store has.
bool Service::is_used(const PoolId& pool) {
    if (shared_) return false;
    Shard& shard = shard_of(pool);
    const MutexLock lock(shard.mutex);
    return shard.entries.contains(pool);
}

/// The pool may have been changed since it was stored last: then the page waits until that is stored too.
void Service::list_used(const std::shared_ptr<Listing>& listing, const PoolId& pool) {
    ++listing->awaited;
    const Reply reply = [listing](const Answer& answer) {
        --listing->awaited;
        const auto* refusal = std::get_if<Refusal>(&answer);
        if (refusal && *refusal != Refusal::no_such_pool) listing->refusal = *refusal;
    };
    perform(pool, Ticket{}, reply, [this, listing, pool](Entry& entry, const Reply& to, Ready& ready) {
        if (!entry.pool) return answer(entry, to, Refusal::no_such_pool, ready);
        bring_up_to_date(pool, entry, ready);
        listing->page.push_back(entry_of(pool, *entry.pool));
        answer(entry, to, PoolCounts{}, ready);
    });
}

/// What is in the store is all that there is to know of it: nobody commits meanwhile.
void Service::list_unused(Listing& listing, const PoolId& pool) {
    const LoadResult result = store_.load(pool);
    if (const auto* failure = std::get_if<StoreFailure>(&result)) {
        report(failure->message);
        listing.refusal = Refusal::store_failed;
    } else if (const auto* record = std::get_if<PoolRecord>(&result)) {
        listing.page.push_back(entry_of(pool, Pool(*record, clock_.now(), limits_.pool)));
    }
}

}  // namespace sema
