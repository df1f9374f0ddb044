#include "tests/service/shared_bench.hpp"

#include <algorithm>
#include <random>
#include <set>

using namespace std::chrono_literals;
using namespace sema;
using sema::test::Calls;
using sema::test::lease_of;
using sema::test::Server;
using sema::test::SharedMemory;
using sema::test::SharedMemoryStore;
using sema::test::view_of;
using sema::test::World;

TEST_CASE("what one server was told, the others know") {
    World world(2);
    const Lease lease = world.a.granted();
    CHECK(world.b.in_use() == 1);
    const auto raise = world.b.put(5);
    world.b.flush();
    const auto look = world.a.inspect();
    world.a.flush();
    CHECK(look.as<PoolCounts>().count == 5);
    CHECK(world.c.granted().position() == 1);
    const auto back = world.b.give_back(lease.id);
    world.b.flush();
    CHECK(back.as<LeaseReturned>().returned);
    CHECK(world.c.granted().position() == 0);
    const auto kept = world.a.keep_alive(lease.id, 10s);
    const auto gone = world.a.remove();
    world.a.flush();
    CHECK_FALSE(kept.as<LeaseRenewed>().lease);
    CHECK(gone.as<PoolDeleted>().deleted);
    const auto absent = world.b.inspect();
    world.b.flush();
    CHECK(absent.is(Refusal::no_such_pool));
}

TEST_CASE("who comes to a server that knows nothing yet is not told that there is nothing") {
    World world;
    const auto early = world.b.inspect();
    world.b.flush();
    CHECK(early.as<PoolCounts>().count == 1);
    const PoolId other = PoolId::random();
    world.b.pool = world.a.pool = other;
    const auto none = world.b.inspect();
    world.b.flush();
    CHECK(none.is(Refusal::no_such_pool));
    world.a.made(3);
    const auto some = world.b.inspect();
    world.b.flush();
    CHECK(some.as<PoolCounts>().count == 3);
}

TEST_CASE("two servers never lend one slot, whoever is first at the store") {
    World world;
    world.b.in_use();
    const auto here = world.a.borrow();
    const auto there = world.b.borrow();
    const bool a_first = GENERATE(true, false);
    (a_first ? world.a : world.b).flush();
    world.settle();
    CHECK(lease_of(a_first ? here : there).position() == 0);
    CHECK((a_first ? there : here).is(Refusal::no_resource));
    CHECK(world.memory.stale() > 0);
}

TEST_CASE("a call that another server overtakes at the store is done to what that left") {
    World world(2);
    world.b.in_use();
    world.memory.before_next_commit([&] { world.b.granted(); });
    const auto late = world.a.borrow();
    const auto look = world.a.inspect();
    world.a.flush();
    CHECK(lease_of(late).position() == 1);
    CHECK(look.as<PoolCounts>().in_use == 2);
}

TEST_CASE("a slot that is given back on one server goes to the waiter on another") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    world.a.give_back(lease.id);
    world.a.flush();
    CHECK_FALSE(waiter.answered());
    world.b.flush();
    const Lease& next = lease_of(waiter);
    CHECK(next.position() == 0);
    CHECK(next.fence > lease.fence);
}

TEST_CASE("no newcomer overtakes a waiter of another server, however late that learns of the free slot") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    world.a.give_back(lease.id);
    world.a.flush();
    // Free, and yet not to be had.
    const auto newcomer = world.a.borrow();
    const auto elsewhere = world.c.borrow();
    world.a.flush();
    world.c.flush();
    CHECK(newcomer.is(Refusal::no_resource));
    CHECK(elsewhere.is(Refusal::no_resource));
    world.b.flush();
    CHECK(lease_of(waiter).position() == 0);
}

TEST_CASE("who waits on one server for more than the count holds up nobody on another") {
    World world(2);
    Calls::Call wide;
    wide.ticket = world.b.service->next_ticket();
    world.b.service->borrow(world.id, wide.ticket, {60s, 60s, std::nullopt, 3, 5, nullptr, true},
                            wide.reply());
    world.b.flush();
    const Lease first = world.a.granted();
    const Lease second = world.c.granted();
    const auto waiter = world.c.waiting();
    world.a.give_back(first.id);
    world.settle();
    CHECK(lease_of(waiter).position() == first.position());
    CHECK_FALSE(wide.answered());

    world.c.resize(1);
    world.settle();
    world.a.give_back(second.id);
    world.c.give_back(lease_of(waiter).id);
    world.settle();
    CHECK(lease_of(wide).positions.size() == 3);
}

TEST_CASE("waiters of all servers are served in the order in which they came, within a priority") {
    World world;
    const Lease lease = world.a.granted();
    const auto first = world.b.waiting();
    const auto second = world.a.waiting();
    const auto third = world.c.waiting();
    Calls::Call urgent;
    urgent.ticket = world.c.service->next_ticket();
    world.c.service->borrow(world.id, urgent.ticket, {60s, 60s, std::nullopt, 1, 5, nullptr, true},
                            urgent.reply());
    world.c.flush();
    const auto view = view_of(world.a);
    REQUIRE(view->queue.size() == 4);
    CHECK(view->queue[0].claim.priority == 5);

    Server* server = &world.a;
    LeaseId held = lease.id;
    for (const auto& next : {urgent, first, second, third}) {
        server->give_back(held);
        server->flush();
        world.settle();
        held = lease_of(next).id;
        server = server == &world.a ? &world.b : &world.a;
    }
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("a waiter is served when a lease of another server expires, and when a slot is added there") {
    World world;
    const auto lease = world.a.borrow(10s);
    world.a.flush();
    const auto first = world.b.waiting();
    world.pass(10s - 1us);
    CHECK_FALSE(first.answered());
    world.pass(1us);
    CHECK(lease_of(first).position() == 0);

    const auto second = world.c.waiting();
    world.a.resize(1);
    world.a.flush();
    world.settle();
    CHECK(lease_of(second).position() == 1);
}

TEST_CASE("a lease and a wait last longer by as much as the time may be behind") {
    SharedMemory memory;
    memory.set_clock_error(5ms);
    Server server(memory, PoolId::random());
    server.made(1);
    const auto lease = server.borrow(10s);
    server.flush();
    const auto waiter = server.borrow(10s, 3s);
    server.flush();
    const auto pass = [&](Duration time) {
        memory.clock().pass(time);
        server.service->advance();
        server.flush();
    };
    pass(3s + 5ms - 1us);
    CHECK_FALSE(waiter.answered());
    pass(1us);
    CHECK(waiter.is(Refusal::no_resource));
    pass(7s - 1us);
    CHECK(server.in_use() == 1);
    pass(1us);
    CHECK(server.in_use() == 0);
    CHECK(lease_of(lease).expires_at == memory.clock().now() - 5ms);
    CHECK(lease.as<LeaseGranted>().remaining == 10s);
}

TEST_CASE("a lease that was given back is over on every server at once, though its slot rests") {
    SharedMemory memory;
    memory.set_clock_error(5ms);
    const PoolId id = PoolId::random();
    Server here(memory, id);
    Server there(memory, id);
    here.put({.count = 1, .settings = {.cooldown = 1s}});
    here.flush();
    const Lease lease = here.granted();
    there.give_back(lease.id);
    there.flush();
    const auto again = here.give_back(lease.id);
    here.flush();
    CHECK_FALSE(again.as<LeaseReturned>().returned);
    CHECK(here.in_use() == 0);
    const auto early = here.borrow();
    here.flush();
    CHECK(early.is(Refusal::no_resource));
}

TEST_CASE("a slot rests no longer once the cooldown is taken away, however doubtful the time is") {
    SharedMemory memory;
    memory.set_clock_error(5ms);
    Server server(memory, PoolId::random());
    server.put({.count = 1, .settings = {.cooldown = 3600s}});
    server.flush();
    server.give_back(server.granted().id);
    server.flush();
    server.put({.count = 1, .settings = {.cooldown = 0s}});
    server.flush();
    server.granted();
}

TEST_CASE("a lost message delays a waiter by a second at most") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    world.pass(100ms);
    world.memory.lose_messages();
    world.a.give_back(lease.id);
    world.a.flush();
    world.settle();
    CHECK_FALSE(waiter.answered());
    world.pass(1s);
    CHECK(waiter.answered());
}

TEST_CASE("a waiter gives up in time, and its place is gone everywhere") {
    World world;
    world.a.granted();
    const auto waiter = world.b.waiting(5s);
    world.pass(5s - 1us);
    CHECK_FALSE(waiter.answered());
    world.pass(1us);
    CHECK(waiter.is(Refusal::no_resource));
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("a waiter that hangs up is out of the queue, and the next one is served by its own server") {
    World world;
    const Lease lease = world.a.granted();
    const auto first = world.b.waiting();
    const auto second = world.c.waiting();
    CHECK(world.b.service->leave(world.id, first.ticket));
    world.a.give_back(lease.id);
    world.a.flush();
    world.settle();
    CHECK_FALSE(first.answered());
    CHECK(second.answered());
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("a grant whose waiter left while it was on its way to the store is given back") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    const auto next = world.c.waiting();
    world.a.give_back(lease.id);
    world.a.flush();
    world.memory.before_next_commit([&] { CHECK(world.b.service->leave(world.id, waiter.ticket)); });
    world.b.flush();
    world.settle();
    CHECK_FALSE(waiter.answered());
    CHECK(next.answered());
}

TEST_CASE("whoever gives up while the store is away is told so without any round") {
    World world;
    world.a.granted();
    const auto waiter = world.b.waiting(5s);
    world.memory.be_away();
    world.memory.clock().pass(5s);
    // A round comes before anybody looks at deadlines, and leaves nothing to do in another one.
    world.b.inspect();
    world.b.flush();
    CHECK_FALSE(world.b.service->flush());
    world.b.service->advance();
    CHECK(waiter.is(Refusal::no_resource));
}

TEST_CASE("a borrower that was never queued gives up in time while its round is at the store") {
    World world;
    world.a.granted();
    const auto borrow = world.b.borrow(60s, 5s);
    world.memory.before_next_commit([&] {
        world.memory.clock().pass(5s);
        world.b.service->advance();
        CHECK(borrow.is(Refusal::no_resource));
    });
    world.settle();
    CHECK(borrow.is(Refusal::no_resource));
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("a waiter that gives up while its grant is on its way to the store is told so, and holds nothing") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting(5s);
    world.a.give_back(lease.id);
    world.a.flush();
    world.memory.before_next_commit([&] {
        world.memory.clock().pass(5s);
        world.b.service->advance();
        CHECK(waiter.is(Refusal::no_resource));
    });
    world.b.flush();
    world.settle();
    CHECK(waiter.is(Refusal::no_resource));
    CHECK(world.a.in_use() == 0);
}

TEST_CASE("the waiters of a server that is lost are out, and those of others go on") {
    World world;
    const Lease lease = world.a.granted();
    const auto dead = world.b.waiting();
    const auto alive = world.c.waiting();
    world.a.give_back(lease.id);
    world.a.flush();
    world.c.flush();
    CHECK_FALSE(alive.answered());
    world.memory.lose(world.b.store.self());
    world.c.flush();
    CHECK(alive.answered());
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("who reads a pool for the first time leaves out the waiters of servers that were lost before") {
    World world;
    const Lease lease = world.a.granted();
    world.b.waiting();
    world.memory.lose(world.b.store.self());
    const auto waiter = world.c.waiting();
    const auto view = view_of(world.c);
    CHECK(view->queue.size() == 1);
    world.a.give_back(lease.id);
    world.a.flush();
    world.c.flush();
    CHECK(waiter.answered());
}

TEST_CASE("a server that was taken for lost has its waiters back where they were") {
    World world;
    const Lease lease = world.a.granted();
    const auto first = world.b.waiting();
    const auto second = world.c.waiting();
    world.memory.lose(world.b.store.self());
    world.c.flush();
    CHECK(world.memory.record(world.id).places.size() == 1);
    // It was only slow.
    world.memory.find(world.b.store.self());
    world.b.flush();
    world.pass(1s);
    CHECK(world.memory.record(world.id).places.size() == 2);
    world.a.give_back(lease.id);
    world.a.flush();
    world.settle();
    CHECK(first.answered());
    CHECK_FALSE(second.answered());
}

TEST_CASE("a keyed waiter comes back through another server and keeps its place") {
    World world;
    const Lease lease = world.a.granted();
    const LeaseId id = LeaseId::random();
    const auto before = world.b.borrow(id, 60s);
    world.b.flush();
    const auto behind = world.a.waiting();
    const bool hangs_up = GENERATE(true, false);
    if (hangs_up) {
        CHECK(world.b.service->leave(world.id, before.ticket));
        world.b.flush();
    }
    const auto again = world.c.borrow(id, 60s);
    world.settle();
    CHECK(before.is(Refusal::superseded) == !hangs_up);
    world.a.give_back(lease.id);
    world.a.flush();
    world.settle();
    CHECK(lease_of(again).id == id);
    CHECK_FALSE(behind.answered());
}

TEST_CASE("a keyed waiter of a lost server keeps its place for the time to rejoin") {
    ServiceLimits limits;
    limits.pool.rejoin = 15s;
    World world(1, limits);
    world.a.granted();
    const LeaseId id = LeaseId::random();
    world.b.borrow(id, 300s);
    world.b.flush();
    world.c.waiting(300s);
    world.memory.lose(world.b.store.self());
    world.c.flush();
    CHECK(view_of(world.a)->queue.size() == 2);
    CHECK(view_of(world.a)->queue.front().away);
    world.memory.clock().pass(15s);
    world.c.service->advance();
    world.c.flush();
    CHECK(view_of(world.a)->queue.size() == 1);
}

TEST_CASE("a keyed lease is told again by any server") {
    World world(2);
    const LeaseId id = LeaseId::random();
    const auto first = world.a.borrow(id);
    world.a.flush();
    const auto again = world.b.borrow(id);
    world.b.flush();
    CHECK(lease_of(again).fence == lease_of(first).fence);
    CHECK(world.b.in_use() == 1);
}

TEST_CASE("a lease that another server has told of is not cut short when the first answer is lost") {
    World world;
    const LeaseId id = LeaseId::random();
    const auto first = world.a.borrow(id, {}, 60s);
    world.a.flush();
    const TimePoint end = lease_of(first).expires_at;
    SECTION("told again, and then lost once") {
        world.b.borrow(id, {}, 60s);
        world.b.flush();
        world.a.lose_answer_of(lease_of(first));
        world.a.flush();
        CHECK(world.memory.record(world.id).slots.front().expires_at == end);
    }
    SECTION("lost, and then told again") {
        world.a.lose_answer_of(lease_of(first));
        world.a.flush();
        CHECK(world.memory.record(world.id).slots.front().expires_at < end);
        const auto again = world.b.borrow(id, {}, 60s);
        world.b.flush();
        CHECK(lease_of(again).expires_at == end);
        CHECK(world.memory.record(world.id).slots.front().expires_at == end);
    }
}

TEST_CASE("a waiter is cancelled through another server") {
    World world;
    world.a.granted();
    const LeaseId id = LeaseId::random();
    const auto waiter = world.b.borrow(id, 60s);
    world.b.flush();
    const auto cancel = world.c.cancel(id);
    world.c.flush();
    CHECK(cancel.as<BorrowCancelled>().cancelled);
    CHECK(view_of(world.c)->queue.empty());
    world.b.flush();
    CHECK(waiter.is(Refusal::cancelled));
    CHECK(world.memory.record(world.id).places.empty());
    const auto again = world.c.cancel(id);
    world.c.flush();
    CHECK_FALSE(again.as<BorrowCancelled>().cancelled);
}

TEST_CASE("when a pool is deleted the waiters and watchers of every server are told") {
    World world;
    world.a.granted();
    const auto waiter = world.b.waiting();
    std::vector<Answer> shown;
    Server& watched = GENERATE(true, false) ? world.a : world.c;
    const Ticket ticket = watched.service->next_ticket();
    watched.service->watch(world.id, ticket, [&](const Answer& answer) { shown.push_back(answer); });
    watched.flush();
    REQUIRE_FALSE(shown.empty());
    REQUIRE_FALSE(std::holds_alternative<Refusal>(shown.back()));
    world.a.remove();
    world.a.flush();
    world.settle();
    CHECK(waiter.is(Refusal::no_such_pool));
    REQUIRE(std::holds_alternative<Refusal>(shown.back()));
    CHECK(std::get<Refusal>(shown.back()) == Refusal::no_such_pool);
}

TEST_CASE("who watches on one server sees what is done through another") {
    World world(2);
    std::vector<std::shared_ptr<const PoolView>> shown;
    const Ticket ticket = world.b.service->next_ticket();
    world.b.service->watch(world.id, ticket, [&](const Answer& answer) {
        if (const auto* view = std::get_if<std::shared_ptr<const PoolView>>(&answer)) shown.push_back(*view);
    });
    world.b.flush();
    world.a.granted();
    world.pass(10ms);
    REQUIRE(shown.size() >= 2);
    CHECK(shown.back()->in_use == 1);
    CHECK(world.b.service->leave(world.id, ticket));
    world.pass(2s);
    CHECK_FALSE(world.b.store.follows(world.id));
}

TEST_CASE("while the store is away calls fail and waiters wait on") {
    World world;
    const Lease lease = world.a.granted();
    const auto patient = world.b.waiting(60s);
    const auto hasty = world.b.waiting(5s);
    world.memory.be_away();
    const auto look = world.b.inspect();
    const auto borrow = world.b.borrow(60s, 60s);
    world.b.flush();
    CHECK(look.is(Refusal::store_failed));
    CHECK(borrow.is(Refusal::store_failed));
    CHECK(world.b.service->readiness() == Readiness::store_away);
    world.pass(5s);
    CHECK(hasty.is(Refusal::no_resource));
    CHECK_FALSE(patient.answered());
    world.memory.heal();
    CHECK(world.b.service->readiness() == Readiness::ready);
    world.a.give_back(lease.id);
    world.a.flush();
    world.settle();
    CHECK(patient.answered());
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("whoever asks for readiness while the store is away has the reason logged") {
    World world;
    world.memory.be_away();
    CHECK(world.a.service->readiness() == Readiness::store_away);
    world.a.flush();
    CHECK(world.a.trouble == std::vector<std::string>{"the store is away"});
}

TEST_CASE("a borrow that was answered that the store failed holds nothing, whether it was stored or not") {
    World world;
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    const auto borrow = world.a.borrow();
    world.a.service->flush();
    CHECK(borrow.is(Refusal::store_failed));
    CHECK(world.memory.record(world.id).slots.size() == (is_applied ? 1 : 0));
    world.pass(1s);
    CHECK(world.memory.record(world.id).slots.empty());
}

TEST_CASE("a borrow that failed holds nothing, though its return is overtaken at the store") {
    World world;
    world.memory.leave_commits_unconfirmed(1);
    const auto borrow = world.a.borrow();
    world.a.service->flush();
    REQUIRE(borrow.is(Refusal::store_failed));
    REQUIRE(world.memory.record(world.id).slots.size() == 1);
    world.memory.before_next_commit([&] {
        world.b.put(2);
        world.b.flush();
    });
    world.pass(1s);
    REQUIRE(world.memory.stale() > 0);
    CHECK(world.memory.record(world.id).slots.empty());
}

TEST_CASE("a waiter whose grant may or may not be stored gets it in either case") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    world.a.give_back(lease.id);
    world.a.flush();
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    world.b.service->flush();
    CHECK_FALSE(waiter.answered());
    world.pass(1s);
    CHECK(lease_of(waiter).position() == 0);
    CHECK(world.memory.record(world.id).slots.size() == 1);
}

TEST_CASE("a borrower whose place may or may not be stored is told that the store failed, and has none") {
    World world;
    world.a.granted();
    const bool is_applied = GENERATE(true, false);
    is_applied ? world.memory.leave_commits_unconfirmed(1) : world.memory.fail_commits(1);
    const auto borrow = world.b.borrow(60s, 60s);
    world.b.service->flush();
    CHECK(borrow.is(Refusal::store_failed));
    world.memory.heal();
    world.pass(1s);
    const auto look = world.b.inspect();
    world.settle();
    CHECK(world.memory.record(world.id).places.empty());
}

TEST_CASE("a lease whose answer does not arrive while the store is away is given back later") {
    World world;
    const Lease lease = world.a.granted();
    world.memory.be_away();
    world.a.lose_answer_of(lease);
    world.a.flush();
    world.memory.heal();
    world.settle();
    CHECK(world.memory.record(world.id).slots.empty());
}

TEST_CASE("a server that stops sends its waiters away and leaves no place behind") {
    World world;
    const Lease lease = world.a.granted();
    const auto waiter = world.b.waiting();
    const LeaseId id = LeaseId::random();
    const auto keyed = world.b.borrow(id, 60s);
    world.b.flush();
    world.b.service->drain();
    CHECK(waiter.is(Refusal::shutting_down));
    CHECK(keyed.is(Refusal::shutting_down));
    world.b.service->stop();
    const auto view = view_of(world.a);
    REQUIRE(view->queue.size() == 1);
    CHECK(view->queue.front().away);
}

TEST_CASE("after the store is found again nothing is believed that was read before") {
    World world(2);
    world.b.in_use();
    world.memory.come_back_with(world.id, 9);
    const auto look = world.b.inspect();
    world.b.flush();
    CHECK(look.as<PoolCounts>().count == 9);
}

TEST_CASE("a failed borrow's lease that another server has told of stays, however often it is withdrawn") {
    World world;
    const LeaseId id = LeaseId::random();
    world.memory.leave_commits_unconfirmed(1);
    const auto failed = world.a.borrow(id);
    world.a.service->flush();
    REQUIRE(failed.is(Refusal::store_failed));
    const auto again = world.b.borrow(id);
    world.b.flush();
    REQUIRE(lease_of(again).id == id);
    // Done, and not known to be done.
    world.memory.leave_commits_unconfirmed(1);
    world.pass(1s);
    world.pass(1s);
    CHECK(world.memory.record(world.id).slots.size() == 1);
    CHECK(world.a.in_use() == 1);
}

namespace {

/// Random calls on three servers of one pool, with whatever can go wrong between them and the store.
class Chaos {
  public:
    explicit Chaos(unsigned seed) : random_(seed), world_(2, limits()) {}

    void step() {
        Server& server = *servers_[draw(3)];
        switch (draw(17)) {
            case 0:
            case 1:
            case 2:
                borrow(server, Duration(draw(3) * 2'000'000));
                break;
            case 3:
                borrow_again(server);
                break;
            case 4:
            case 5:
                give_back(server);
                break;
            case 6:
                keep_alive(server);
                break;
            case 7:
                hang_up();
                break;
            case 8:
                world_.memory.leave_commits_unconfirmed(1);
                break;
            case 9:
                world_.memory.fail_commits(1);
                break;
            case 10:
                world_.memory.lose_messages(draw(2) == 0);
                break;
            case 11:
                draw(4) == 0 ? world_.memory.be_away() : world_.memory.heal();
                break;
            case 12:
                world_.memory.before_next_commit([this] { servers_[draw(3)]->service->flush(); });
                break;
            case 13:
                world_.memory.clock().pass(Duration(draw(1'500'000)));
                for (Server* each : servers_)
                    each->service->advance();
                break;
            case 14:
                lose_answer();
                break;
            default:
                server.service->flush();
                break;
        }
        check();
    }

    /// All is well again, and time passes: nobody waits any more, and nothing is held.
    void end() {
        world_.memory.heal();
        world_.memory.lose_messages(false);
        for (int second = 0; second < 120; ++second) {
            world_.pass(1s);
            // Where nobody waits, only a call has the pool's time go on.
            if (second % 30 == 0) world_.a.in_use();
            check();
        }
        for (const Borrow& borrow : borrows_)
            REQUIRE((borrow.left || borrow.call.answered()));
        CHECK(world_.a.in_use() == 0);
        CHECK(world_.memory.record(world_.id).places.empty());
    }

  private:
    struct Borrow {
        Server* server;
        Calls::Call call;
        LeaseId id;
        TimePoint give_up_at;
        /// What it is granted may have been given back by the time that its answer is seen.
        bool may_be_over = false;
        bool left = false;
        bool seen = false;
    };
    struct Holding {
        Position position;
        TimePoint until;
    };

    /// A lease that is wrongly taken for unclaimed is missed before its time.
    static ServiceLimits limits() {
        ServiceLimits limits;
        limits.pool.rejoin = 1s;
        return limits;
    }

    unsigned draw(unsigned below) { return static_cast<unsigned>(random_() % below); }

    void borrow(Server& server, Duration wait) {
        const LeaseId id = LeaseId::random();
        const auto call = draw(2) == 0 ? server.borrow(id, wait, 5s) : server.borrow(5s, wait);
        borrows_.push_back({&server, call, id, world_.memory.clock().now() + wait});
    }
    void borrow_again(Server& server) {
        if (borrows_.empty()) return;
        const LeaseId id = borrows_[draw(static_cast<unsigned>(borrows_.size()))].id;
        const Duration wait(draw(3) * 2'000'000);
        const bool may_be_over = std::any_of(returns_.begin(), returns_.end(), [&](const auto& call) {
            return call.first == id && !call.second.answered();
        });
        borrows_.push_back(
            {&server, server.borrow(id, wait, 5s), id, world_.memory.clock().now() + wait, may_be_over});
    }
    void give_back(Server& server) {
        if (held_.empty()) return;
        auto lease = held_.begin();
        std::advance(lease, draw(static_cast<unsigned>(held_.size())));
        returns_.emplace_back(lease->first, server.give_back(lease->first));
        for (Borrow& borrow : borrows_)
            borrow.may_be_over = borrow.may_be_over || borrow.id == lease->first;
        held_.erase(lease);
    }
    void keep_alive(Server& server) {
        if (held_.empty()) return;
        // Whether it is renewed or not: what is known for sure is the earlier end.
        server.keep_alive(held_.begin()->first, 5s);
    }
    void hang_up() {
        if (borrows_.empty()) return;
        Borrow& borrow = borrows_[draw(static_cast<unsigned>(borrows_.size()))];
        if (!borrow.call.answered() && borrow.server->service->leave(world_.id, borrow.call.ticket))
            borrow.left = true;
    }
    /// An answer that came some time ago turns out not to have arrived.
    void lose_answer() {
        if (lost_.empty()) return;
        const auto lost = lost_.begin() + draw(static_cast<unsigned>(lost_.size()));
        lost->first->lose_answer_of(lost->second);
        lost_.erase(lost);
    }

    void check() {
        const TimePoint now = world_.memory.clock().now();
        std::erase_if(held_, [&](const auto& lease) { return lease.second.until <= now; });
        for (Borrow& borrow : borrows_) {
            if (borrow.seen || !borrow.call.answered()) continue;
            borrow.seen = true;
            const auto* granted = std::get_if<LeaseGranted>(&**borrow.call.answer);
            if (!granted) continue;
            REQUIRE_FALSE(borrow.left);
            const Lease& lease = granted->lease;
            // What it rests on may have ended since it was said, but nobody else may have the slot before.
            // One that was given back may have been asked for again before that.
            if (lease.expires_at <= now || borrow.may_be_over) continue;
            if (draw(4) == 0) {
                lost_.emplace_back(borrow.server, lease);
                continue;
            }
            for (const auto& [id, holding] : held_)
                REQUIRE((id == lease.id || holding.position != lease.position()));
            held_[lease.id] = {lease.position(), lease.expires_at};
            REQUIRE(held_.size() <= 2);
        }
        std::set<Position> taken;
        for (const HeldSlot& slot : world_.memory.record(world_.id).slots) {
            if (slot.expires_at > now) REQUIRE(taken.insert(slot.position).second);
        }
        // Who holds a slot by what it was told has it in the store.
        for (const auto& [id, holding] : held_)
            REQUIRE(taken.contains(holding.position));
    }

    std::mt19937 random_;
    World world_;
    std::vector<Server*> servers_{&world_.a, &world_.b, &world_.c};
    std::vector<Borrow> borrows_;
    std::map<LeaseId, Holding> held_;
    std::vector<std::pair<LeaseId, Calls::Call>> returns_;
    std::vector<std::pair<Server*, Lease>> lost_;
};

}  // namespace

TEST_CASE("the limit of pools counts those of all servers, whoever makes and deletes them") {
    ServiceLimits limits;
    limits.max_pools = 2;
    World world(1, limits);
    Server& other = world.b;
    other.pool = PoolId::random();
    for (int i = 0; i < 5; ++i) {
        // Made through one, used by the other, deleted through the first or the second.
        other.made(1);
        world.a.pool = other.pool;
        CHECK(world.a.in_use() == 0);
        const PoolId full = PoolId::random();
        world.c.pool = full;
        const auto refused = world.c.put(1);
        world.c.flush();
        CHECK(refused.is(Refusal::too_many_pools));
        Server& deleter = i % 2 == 0 ? world.a : world.b;
        const auto gone = deleter.remove();
        deleter.flush();
        CHECK(gone.as<PoolDeleted>().deleted);
        CHECK_FALSE(world.memory.has(other.pool));
        const auto look = other.inspect();
        other.flush();
        CHECK(look.is(Refusal::no_such_pool));
    }
    const auto list = world.a.list_pools();
    world.a.flush();
    CHECK(list.as<PoolsListed>().json->find(world.id.str()) != std::string::npos);
}

TEST_CASE("a lease lives for what its borrower was told, though another server allows less") {
    SharedMemory memory;
    const PoolId id = PoolId::random();
    ServiceLimits strict;
    strict.pool.max_hold = 10s;
    Server generous(memory, id);
    Server other(memory, id, strict);
    generous.made(1);
    const Lease lease = generous.granted(60s);
    memory.clock().pass(30s);
    CHECK(other.in_use() == 1);
    const auto borrow = other.borrow(5s);
    other.flush();
    CHECK(borrow.is(Refusal::no_resource));
    // It is kept alive for as long as it was promised, and not beyond.
    const auto kept = other.keep_alive(lease.id, 60s);
    other.flush();
    REQUIRE(kept.as<LeaseRenewed>().lease);
    CHECK(kept.as<LeaseRenewed>().lease->expires_at == lease.expires_at);
    memory.clock().pass(31s);
    CHECK(other.granted(60s).ttl == 10s);
}

TEST_CASE("a grant or a renewal that is over by the time that it is stored is not told") {
    World world(2);
    const Lease lease = world.a.granted(60s);
    const auto halt = [&] { world.memory.before_next_commit([&] { world.memory.clock().pass(5s); }); };
    halt();
    const auto borrow = world.a.borrow(2s);
    world.a.flush();
    CHECK(borrow.is(Refusal::store_failed));
    halt();
    const auto kept = world.a.keep_alive(lease.id, 2s);
    world.a.flush();
    CHECK_FALSE(kept.as<LeaseRenewed>().lease);
    CHECK(world.b.in_use() == 0);
    // The way to the store may take longer than the shortest of leases.
    CHECK(world.a.granted(1ms).ttl == 1ms);
}

TEST_CASE("the limit of waiters is each server's own, and those who went away do not count") {
    ServiceLimits limits;
    limits.max_waiters = 2;
    World world(1, limits);
    (void)world.a.granted();
    (void)world.a.waiting();
    const auto last = world.a.waiting();
    const auto refuses = [](Server& server) {
        const auto call = server.borrow(60s, 60s);
        server.flush();
        return call.is(Refusal::too_many_waiters);
    };
    CHECK(refuses(world.a));
    (void)world.b.waiting();
    (void)world.b.waiting();
    CHECK(refuses(world.b));
    // What a sees of b's and what b has seen of a's is no part of it.
    CHECK(refuses(world.a));
    CHECK(world.a.service->leave(world.id, last.ticket));
    world.settle();
    CHECK(view_of(world.b)->queue.size() == 3);
    (void)world.a.waiting();
    CHECK(refuses(world.a));
    CHECK(refuses(world.b));
}

TEST_CASE("whatever happens between three servers and their store, no slot is lent twice or lost") {
    const unsigned first = std::random_device()();
    for (unsigned seed = first; seed < first + 30; ++seed) {
        CAPTURE(seed);
        Chaos chaos(seed);
        for (int i = 0; i < 400; ++i)
            chaos.step();
        chaos.end();
    }
}
