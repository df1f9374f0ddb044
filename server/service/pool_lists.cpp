#include "server/service/pool_lists.hpp"

#include "common/wire.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace sema {
namespace {

// A list takes more than a hundred bytes for each pool until its client has it. Nobody needs many at a time.
constexpr unsigned most_lists = 4;

// Nobody else is at the store while so many pools are read from it: less than a millisecond.
constexpr std::size_t pools_per_page = 25;

/// The text of a list, which counts among all while it is there.
struct Listed {
    std::string json;
    std::shared_ptr<void> counted;
    std::string_view text = json;
};

wire::PoolList::Entry entry_of(const PoolId& id, const Pool& pool, TimePoint now) {
    const bool is_awaited = pool.waiting() > 0;
    return {.id = id,
            .name = pool.settings() ? pool.settings()->name : "",
            .count = pool.count(),
            .in_use = pool.in_use(),
            .available = pool.available(),
            .queue = pool.waiting(),
            .oldest_wait =
                is_awaited ? std::optional(whole_seconds(pool.figures(now).oldest_wait)) : std::nullopt};
}

bool by_id(const wire::PoolList::Entry& a, const wire::PoolList::Entry& b) {
    return a.id < b.id;
}

}  // namespace

/// A list under way. Only the thread that is at the store touches it.
struct PoolLists::Listing {
    Reply reply;
    /// Counts it among all lists.
    std::shared_ptr<void> counted;
    wire::PoolListWriter list;
    /// What is to be added to the list next, in any order, once no answer is awaited any more.
    std::vector<wire::PoolList::Entry> page{};
    std::size_t awaited = 0;
    /// The last of the page's pools.
    std::optional<PoolId> last{};
    bool is_last_page = false;
    std::optional<Refusal> refusal{};
};

PoolLists::PoolLists(Store& store, PoolTable& table, CommitDriver& driver, Wakeups& wakeups,
                     TroubleReport& trouble)
    : store_(store), table_(table), driver_(driver), wakeups_(wakeups), trouble_(trouble) {}

void PoolLists::add(Reply reply) {
    if (count_->fetch_add(1) >= most_lists) {
        --*count_;
        return reply(Refusal::too_many_lists);
    }
    std::shared_ptr<void> counted(nullptr, [count = count_](void*) { --*count; });
    const std::shared_ptr<Listing> listing(
        new Listing{std::move(reply), std::move(counted), wire::PoolListWriter(table_.pools())});
    {
        const MutexLock lock(mutex_);
        listings_.push_back(listing);
    }
    wakeups_.add_work();
}

void PoolLists::go_on() {
    std::shared_ptr<Listing> listing;
    {
        const MutexLock lock(mutex_);
        if (listings_.empty()) return;
        listing = listings_.front();
    }
    // Each answer that a page rests on comes within a commit().
    if (listing->awaited > 0) return;
    wakeups_.add_work();
    auto& page = listing->page;
    std::sort(page.begin(), page.end(), by_id);
    for (const auto& pool : page)
        listing->list.add(pool);
    page.clear();
    if (table_.is_draining()) listing->refusal = Refusal::shutting_down;
    if (!listing->refusal && !listing->is_last_page) return begin_page(listing);
    {
        const MutexLock lock(mutex_);
        listings_.pop_front();
    }
    finish(*listing);
}

void PoolLists::finish(Listing& listing) {
    if (listing.refusal) return listing.reply(*listing.refusal);
    const std::shared_ptr<const Listed> listed(
        new Listed{std::move(listing.list).finish(), std::move(listing.counted)});
    listing.reply(PoolsListed{{listed, &listed->text}});
}

void PoolLists::begin_page(const std::shared_ptr<Listing>& listing) {
    const auto ids = store_.pools_after(listing->last, pools_per_page);
    if (!ids) {
        trouble_.add(ids.error().message);
        listing->refusal = Refusal::store_failed;
        return;
    }
    listing->is_last_page = ids->size() < pools_per_page;
    if (!ids->empty()) listing->last = ids->back();
    for (const PoolId& id : *ids)
        driver_.is_ahead_of_store(id) ? list_used(listing, id) : list_unused(*listing, id);
}

/// The pool may have been changed since it was stored last: then the page waits until that is stored too.
void PoolLists::list_used(const std::shared_ptr<Listing>& listing, const PoolId& pool) {
    ++listing->awaited;
    const Reply reply = [listing](const Answer& answer) {
        --listing->awaited;
        const auto* refusal = std::get_if<Refusal>(&answer);
        if (refusal && *refusal != Refusal::no_such_pool) listing->refusal = *refusal;
    };
    table_.perform(pool, no_ticket, reply, [this, listing](const Visit& visit, const Reply& to) {
        if (!visit.entry.pool) return driver_.reply_when_committed(visit, to, Refusal::no_such_pool);
        table_.bring_up_to_date(visit);
        listing->page.push_back(entry_of(visit.pool, *visit.entry.pool, table_.now()));
        driver_.reply_when_committed(visit, to, PoolCounts{});
    });
}

/// What is in the store is all that there is to know of it: nobody commits meanwhile.
void PoolLists::list_unused(Listing& listing, const PoolId& pool) {
    const LoadResult result = store_.load(pool);
    if (const auto* failure = std::get_if<StoreFailure>(&result)) {
        trouble_.add(failure->message);
        listing.refusal = Refusal::store_failed;
    } else if (const auto* record = std::get_if<PoolRecord>(&result)) {
        const TimePoint now = table_.now();
        listing.page.push_back(entry_of(pool, Pool(*record, now, table_.limits().pool), now));
    }
}

}  // namespace sema
