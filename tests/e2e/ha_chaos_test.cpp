#include "tests/e2e/ha_cluster.hpp"
#include "tests/e2e/history.hpp"
#include "tests/e2e/semad.hpp"
#include "tests/e2e/waits.hpp"
#include "tests/e2e/wrong_clock.hpp"
#include "tests/support/catch.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace sema::test;
using namespace std::chrono_literals;

namespace {

constexpr unsigned client_count = 14;
constexpr std::chrono::milliseconds longest_ttl = 4s;
constexpr std::chrono::milliseconds longest_wait = 4s;
/// Of leases that last, where `--rejoin` is 1 s.
constexpr std::chrono::milliseconds lasting_ttl = 60s;

struct Scene {
    StoreKind kind = StoreKind::single;
    unsigned wait_replicas = 0;
    /// Whether a machine of the store may go on where it was after it was away for a moment. Otherwise it is
    /// dead until all others know of it, and none that is only slow is taken for dead.
    bool store_goes_on = true;
    /// Most leases last for much longer than whoever is away has to come back, and than anybody holds one: so
    /// a lease that is taken back while somebody has it is seen to be.
    bool leases_last = false;
    /// The sizes of the pools.
    std::vector<int> counts = {1, 2, 4, 1};
    /// Whether the store's wall clock is stepped to and fro.
    bool clock_steps = false;
    unsigned seconds = 15;
};

/// A number from the environment.
unsigned setting(const char* name, unsigned otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr || *text == '\0' ? otherwise : static_cast<unsigned>(std::stoul(text));
}

double seconds(std::chrono::milliseconds time) {
    return std::chrono::duration<double>(time).count();
}

class Dice {
  public:
    explicit Dice(unsigned seed) : engine_(seed) {}
    bool chance(double probability) { return std::bernoulli_distribution(probability)(engine_); }
    int number(int from, int to) { return std::uniform_int_distribution<int>(from, to)(engine_); }
    std::size_t below(std::size_t end) {
        return std::uniform_int_distribution<std::size_t>(0, end - 1)(engine_);
    }
    std::chrono::milliseconds time(int from_ms, int to_ms) {
        return std::chrono::milliseconds(number(from_ms, to_ms));
    }

  private:
    std::mt19937 engine_;
};

/// Connections to all servers, given up whenever a server was out of reach.
class Lines {
  public:
    explicit Lines(const Cluster& cluster) : cluster_(cluster) {}

    /// Nothing where no whole answer came in time. `call` is told what there is to know of it.
    std::optional<HttpResponse> exchange(Call& call, const std::string& request) {
        Line& line = lines_[call.server];
        const unsigned incarnation = cluster_.incarnation(call.server);
        if (line.incarnation != incarnation) line.connection.reset();
        line.incarnation = incarnation;
        std::optional<HttpResponse> response;
        call.asked = boot_time();
        try {
            if (!line.connection) {
                const Reached at = cluster_.reached_at(call.server);
                line.connection.emplace(at.port, at.host, 1000ms);
            }
            line.connection->send(request);
            response = line.connection->receive(
                false, std::chrono::duration_cast<std::chrono::milliseconds>(call.allowed) + 3s);
        } catch (const std::exception&) {
            line.connection.reset();
        }
        call.answered = boot_time();
        call.answer = answer_of(response);
        return response;
    }

  private:
    struct Line {
        unsigned incarnation = 0;
        std::optional<RawClient> connection;
    };

    static Answer answer_of(const std::optional<HttpResponse>& response) {
        if (!response) return Answer::none;
        switch (response->status) {
            case 200:
                return Answer::yes;
            case 409:
                return Answer::no;
            case 502:
            case 503:
                return Answer::failed;
            default:
                throw std::logic_error("answered " + std::to_string(response->status) + ": " +
                                       response->body);
        }
    }

    const Cluster& cluster_;
    std::array<Line, Cluster::size> lines_;
};

/// What one thread saw.
struct Notes {
    std::vector<Holding> holdings;
    std::vector<Revocation> revocations;
    std::vector<Stray> strays;
    std::vector<Call> calls;
    std::vector<Wait> waits;
    std::vector<Sighting> sightings;
    std::vector<std::string> nonsense;
};

/// The pools and the end of the test, as all of its threads share them.
struct World {
    const Cluster& cluster;
    const std::vector<std::string>& pools;
    const std::atomic<bool>& over;
    const Scene& scene;

    std::string path(std::size_t pool) const { return "/l/" + pools[pool]; }
    /// The end of the test is not slept through.
    void pause(std::chrono::milliseconds time) const {
        eventually([this] { return over.load(); }, time);
    }
};

struct Wish {
    std::size_t pool = 0;
    std::chrono::milliseconds ttl{};
    std::chrono::milliseconds wait{};
    int priority = 0;
    std::string lease;
};

/// Somebody who borrows, works and returns, over and over, each time through any server.
class Client {
  public:
    Client(World world, unsigned number, unsigned seed)
        : world_(world), number_(number), dice_(seed), lines_(world.cluster) {}

    void work() {
        while (!world_.over) {
            if (dice_.chance(0.03)) {
                revoke();
                continue;
            }
            const Wish wish = random_wish();
            if (dice_.chance(0.05)) {
                Wish of_nobody = wish;
                of_nobody.lease = dice_.chance(0.5) ? new_lease() : "";
                hang_up(of_nobody, dice_.time(0, 100));
            }
            std::optional<Moment> first_asked;
            if (world_.scene.leases_last && !wish.lease.empty() && dice_.chance(0.7)) {
                first_asked = boot_time();
                notes.strays.push_back({wish.pool, wish.lease, *first_asked});
                hang_up(wish, dice_.chance(0.3) ? dice_.time(0, 100) : 0ms);
            }
            if (auto holding = borrow(wish, first_asked)) {
                use(wish, std::move(*holding));
            } else if (world_.scene.leases_last && dice_.chance(0.15)) {
                // What nobody knows of would be in the way until the end of the test.
                revoke();
            }
        }
    }

    Notes notes;

  private:
    Wish random_wish() {
        Wish wish;
        wish.pool = dice_.below(world_.pools.size());
        wish.ttl = dice_.chance(0.7) ? dice_.time(150, 500)
                                     : dice_.time(1500, static_cast<int>(longest_ttl.count()));
        wish.wait = dice_.chance(0.2) ? 0ms : dice_.time(300, static_cast<int>(longest_wait.count()));
        if (dice_.chance(0.2)) wish.priority = dice_.number(-1, 1);
        if (dice_.chance(world_.scene.leases_last ? 0.8 : 0.4)) wish.lease = new_lease();
        if (world_.scene.leases_last && dice_.chance(0.8)) wish.ttl = lasting_ttl;
        return wish;
    }

    std::string borrow_request(const Wish& wish, const std::string& name) const {
        Json fields{{"ttl", seconds(wish.ttl)},
                    {"wait", seconds(wish.wait)},
                    {"priority", wish.priority},
                    {"holder", {{"name", name}}}};
        if (!wish.lease.empty()) fields["lease"] = wish.lease;
        return http_request("POST", world_.path(wish.pool) + "/borrow", fields.dump());
    }

    std::string new_name() { return "c" + std::to_string(number_) + "-" + std::to_string(names_++); }

    /// Who chose the lease's id asks again, of any server, where it was told of a failure or of nothing.
    /// `first_asked`: when the same lease was asked for before.
    std::optional<Holding> borrow(const Wish& wish, std::optional<Moment> first_asked) {
        for (int tries = 0; !world_.over && tries < 20; ++tries) {
            Wait wait;
            wait.server = dice_.below(Cluster::size);
            wait.pool = wish.pool;
            wait.name = new_name();
            wait.priority = wish.priority;
            wait.allowed = wish.wait;
            const auto response = lines_.exchange(wait, borrow_request(wish, wait.name));
            if (!first_asked) first_asked = wait.asked;
            wait.first_asked = first_asked;
            std::optional<Holding> holding;
            if (wait.answer == Answer::yes) {
                const Grant grant = fully_granted(*response);
                wait.fence = grant.fence;
                holding = Holding{};
                holding->pool = wish.pool;
                holding->positions = grant.positions;
                holding->lease = grant.lease;
                holding->ttl = wish.ttl;
                holding->asked = *first_asked;
                holding->answered = wait.answered;
                holding->fence = grant.fence;
                holding->chosen = !wish.lease.empty();
            }
            notes.waits.push_back(wait);
            if (holding) return holding;
            if (wait.answer == Answer::no) return std::nullopt;
            if (wait.answer == Answer::none && !wish.lease.empty())
                notes.strays.push_back({wish.pool, wish.lease, wait.asked});
            if (wait.answered - wait.asked < 50ms) world_.pause(dice_.time(20, 60));
            if (wish.lease.empty() || dice_.chance(0.2)) return std::nullopt;
            if (!world_.over) notes.waits.back().repeated = true;
        }
        return std::nullopt;
    }

    void use(const Wish& wish, Holding holding) {
        if (dice_.chance(0.3)) {
            for (int i = dice_.number(1, 3); i > 0; --i)
                keep_alive(holding);
        }
        const bool is_brief = wish.ttl < 1s;
        const bool is_lasting = wish.ttl == lasting_ttl;
        if (is_lasting || dice_.chance(is_brief ? 0.8 : 0.95)) {
            world_.pause(is_brief || !dice_.chance(is_lasting ? 0.5 : 0.3) ? dice_.time(0, 60)
                         : is_lasting                                      ? dice_.time(1200, 2500)
                                                                           : dice_.time(300, 1500));
            give_back(holding);
        }
        notes.holdings.push_back(std::move(holding));
    }

    /// Tries until it is known what became of it.
    void give_back(Holding& holding) {
        const std::string request = http_request("POST", world_.path(holding.pool) + "/return",
                                                 Json{{"lease", holding.lease}}.dump());
        const int limit = world_.scene.leases_last ? 400 : 20;
        for (int tries = 0; tries < limit && !world_.over; ++tries) {
            Attempt made = attempt(request, "returned");
            made.kind = Attempt::Kind::give_back;
            holding.attempts.push_back(made);
            if (made.outcome != Outcome::unknown && !dice_.chance(0.1)) return;
            if (made.outcome == Outcome::unknown) world_.pause(dice_.time(10, 60));
        }
    }

    void keep_alive(Holding& holding) {
        const auto ttl = world_.scene.leases_last ? lasting_ttl
                         : dice_.chance(0.5)      ? dice_.time(150, 500)
                                                  : dice_.time(1000, 3000);
        const Json body{{"lease", holding.lease}, {"ttl", seconds(ttl)}};
        Attempt made =
            attempt(http_request("POST", world_.path(holding.pool) + "/keepalive", body.dump()), "renewed");
        made.kind = Attempt::Kind::keep_alive;
        made.ttl = ttl;
        holding.attempts.push_back(made);
        world_.pause(dice_.time(0, 60));
    }

    Attempt attempt(const std::string& request, const std::string& key) {
        Call call;
        call.server = dice_.below(Cluster::size);
        const auto response = lines_.exchange(call, request);
        notes.calls.push_back(call);
        Attempt made;
        made.asked = call.asked;
        made.answered = call.answered;
        if (call.answer == Answer::yes)
            made.outcome = Json::parse(response->body).at(key).get<bool>() ? Outcome::yes : Outcome::no;
        return made;
    }

    void revoke() {
        Revocation revocation;
        revocation.pool = dice_.below(world_.pools.size());
        revocation.position = dice_.number(0, world_.scene.counts[revocation.pool] - 1);
        const Attempt made = attempt(http_request("POST", world_.path(revocation.pool) + "/revoke",
                                                  Json{{"position", revocation.position}}.dump()),
                                     "revoked");
        revocation.asked = made.asked;
        revocation.answered = made.answered;
        revocation.outcome = made.outcome;
        notes.revocations.push_back(revocation);
    }

    /// Asks, and goes away before the answer, or right after it.
    void hang_up(const Wish& wish, std::chrono::milliseconds after) {
        try {
            const Reached at = world_.cluster.reached_at(dice_.below(Cluster::size));
            RawClient client(at.port, at.host, 300ms);
            client.send(borrow_request(wish, new_name()));
            world_.pause(after);
            dice_.chance(0.5) ? client.close() : client.abort();
        } catch (const std::exception&) {
            world_.pause(5ms);
        }
    }

    World world_;
    unsigned number_;
    unsigned names_ = 0;
    Dice dice_;
    Lines lines_;
};

/// Somebody who looks at the pools all the time, through any server.
class Onlooker {
  public:
    Onlooker(World world, unsigned seed) : world_(world), dice_(seed), lines_(world.cluster) {}

    void work() {
        while (!world_.over) {
            for (std::size_t pool = 0; pool < world_.pools.size(); ++pool) {
                if (auto sighting = look(dice_.below(Cluster::size), pool))
                    notes.sightings.push_back(std::move(*sighting));
                world_.pause(8ms);
            }
        }
    }

    std::optional<Sighting> look(std::size_t server, std::size_t pool) {
        Call call;
        call.server = server;
        const auto response = lines_.exchange(call, http_request("GET", world_.path(pool) + "/holders"));
        notes.calls.push_back(call);
        if (call.answer != Answer::yes) return std::nullopt;
        const Json view = Json::parse(response->body);
        Sighting sighting{server, pool, call.asked, call.answered, view.at("available").get<int>()};
        for (const Json& waiter : view.at("queue"))
            sighting.queue.push_back(name_in(waiter));
        for (const Json& holder : view.at("holders"))
            sighting.holders.push_back(name_in(holder));
        return sighting;
    }

    Notes notes;

  private:
    static std::string name_in(const Json& entry) {
        const Json& holder = entry.at("holder");
        return holder.is_object() ? holder.value("name", "") : "";
    }

    World world_;
    Dice dice_;
    Lines lines_;
};

/// What goes wrong, at random: no more than two things at a time, one of them with the store.
class Driver {
  public:
    /// `clock`: the store's, if it is to be stepped.
    Driver(Cluster& cluster, const Scene& scene, const WrongClock* clock, unsigned seed)
        : cluster_(cluster), scene_(scene), clock_(clock), dice_(seed) {}
    ~Driver() { end_all(); }

    void run(std::chrono::seconds duration) {
        const Moment end = boot_time() + duration;
        Moment next = boot_time() + 300ms;
        while (boot_time() < end) {
            std::this_thread::sleep_for(10ms);
            cluster_.tick();
            end_due();
            if (boot_time() < next) continue;
            begin_one();
            next = boot_time() + dice_.time(50, scene_.leases_last ? 300 : 900);
        }
        end_all();
    }

    std::map<std::string, int> done;
    /// What was done when, a line each.
    std::string story;

  private:
    struct Trouble {
        std::string on;
        Moment until{};
        std::function<void()> end;
    };

    bool is_troubled(const std::string& what) const {
        return std::any_of(troubles_.begin(), troubles_.end(),
                           [&](const Trouble& trouble) { return trouble.on == what; });
    }

    void begin_one() {
        if (clock_ != nullptr && (wants_step_ || dice_.chance(0.5))) return step_clock();
        if (troubles_.size() >= 2 || boot_time() < calm_until_) return;
        // While the store is away nobody is lent anything that could be taken back.
        if (dice_.chance(scene_.leases_last ? 0.15 : 0.35)) {
            if (cluster_.is_store_whole()) trouble_store();
        } else {
            const std::size_t server = dice_.below(Cluster::size);
            const std::string name = "server " + std::to_string(server);
            if (!is_troubled(name)) trouble_server(server, name);
        }
    }

    void begin(const std::string& kind, const std::string& on, std::chrono::milliseconds time,
               std::function<void()> end) {
        ++done[kind];
        tell(kind, on + " for " + std::to_string(time.count()) + " ms");
        troubles_.push_back({on, boot_time() + time, std::move(end)});
    }

    void tell(const std::string& what, const std::string& of) {
        story += std::to_string(boot_time().count()) + ' ' + what + ": " + of + '\n';
    }

    std::chrono::milliseconds some_time() {
        // What is taken back too early is taken back when a server is there again.
        if (scene_.leases_last) return dice_.time(200, 1200);
        return dice_.chance(0.5) ? dice_.time(200, 1500) : dice_.time(1500, 5000);
    }

    void trouble_server(std::size_t server, const std::string& name) {
        switch (dice_.number(0, cluster_.can_cut_off() ? 4 : 2)) {
            case 0:
            case 1:
                cluster_.kill(server);
                return begin("kills of a semad", name, dice_.time(0, 1500),
                             [this, server] { cluster_.start(server); });
            case 2:
                cluster_.pause(server);
                return begin("pauses of a semad", name, some_time(),
                             [this, server] { cluster_.resume(server); });
            case 3: {
                std::vector<std::size_t> machines;
                for (std::size_t i = 0; i < cluster_.machines(); ++i)
                    machines.push_back(i);
                if (dice_.chance(0.4)) machines = {cluster_.primary()};
                static constexpr std::array<std::pair<Cut, const char*>, 3> cuts = {
                    {{Cut::both, "cuts between a semad and the store"},
                     {Cut::questions, "cuts of what a semad asks the store"},
                     {Cut::answers, "cuts of what the store answers a semad"}}};
                const auto& [cut, kind] = cuts[dice_.below(cuts.size())];
                cluster_.cut_off(server, machines, cut);
                return begin(kind, name, some_time(), [this, server] { cluster_.mend(server); });
            }
            default:
                cluster_.isolate(server);
                return begin("isolations of a semad", name, some_time(),
                             [this, server] { cluster_.rejoin(server); });
        }
    }

    void trouble_store() {
        const std::size_t machine = dice_.chance(0.7) ? cluster_.primary() : dice_.below(cluster_.machines());
        const std::string name = "store " + std::to_string(machine);
        const int kind = dice_.number(0, 2);
        if (!scene_.store_goes_on) {
            cluster_.kill_store(machine);
            begin("deaths of the store", name, dice_.time(4000, 6000), [this, machine] {
                CHECK(eventually([&] { return cluster_.goes_on_without(machine); }, 20s));
                cluster_.start_store(machine);
            });
        } else if (kind == 1) {
            cluster_.pause_store(machine);
            begin("pauses of the store", name, some_time(),
                  [this, machine] { cluster_.resume_store(machine); });
        } else if (kind == 2 && cluster_.can_isolate_store()) {
            cluster_.isolate_store(machine);
            begin("isolations of the store", name, some_time(),
                  [this, machine] { cluster_.rejoin_store(machine); });
        } else {
            cluster_.kill_store(machine);
            begin("kills of the store", name, dice_.time(0, 2500),
                  [this, machine] { cluster_.start_store(machine); });
        }
    }

    /// A server that starts within a second of a step cannot tell of it, and one that halts at the time may
    /// count as alive for too long: so nothing else is wrong then.
    void step_clock() {
        wants_step_ = true;
        for (std::size_t server = 0; server < Cluster::size; ++server) {
            if (!troubles_.empty() || !cluster_.is_well(server, 2s)) return;
        }
        wants_step_ = false;
        static constexpr std::array<std::chrono::seconds, 4> steps = {3600s, 20s, -20s, -3600s};
        const std::chrono::seconds step = steps[dice_.below(steps.size())];
        const auto stay = dice_.chance(0.5) ? dice_.time(50, 900) : dice_.time(900, 2500);
        calm_until_ = Moment::max();
        cluster_.step_store_clock(*clock_, step);
        begin("steps of the store's clock", "to " + std::to_string(step.count()) + " s", stay, [this] {
            cluster_.step_store_clock(*clock_, 0s);
            calm_until_ = boot_time() + 2s;
        });
    }

    void end_due() {
        for (auto trouble = troubles_.begin(); trouble != troubles_.end();) {
            if (boot_time() < trouble->until) {
                ++trouble;
                continue;
            }
            trouble->end();
            tell("end", trouble->on);
            trouble = troubles_.erase(trouble);
        }
    }

    void end_all() {
        for (const Trouble& trouble : troubles_) {
            trouble.end();
            tell("end", trouble.on);
        }
        troubles_.clear();
    }

    Cluster& cluster_;
    const Scene& scene_;
    const WrongClock* clock_;
    bool wants_step_ = false;
    /// Until then nothing but a step of the clock may begin.
    Moment calm_until_{};
    Dice dice_;
    std::deque<Trouble> troubles_;
};

/// The clients and an onlooker at work, each on a thread of its own, until the end of the scope at the
/// latest.
class Crowd {
  public:
    Crowd(const Cluster& cluster, const std::vector<std::string>& pools, const Scene& scene, unsigned seed) {
        const World world{cluster, pools, over_, scene};
        for (unsigned i = 0; i < client_count; ++i)
            clients_.push_back(std::make_unique<Client>(world, i, ++seed));
        onlooker_ = std::make_unique<Onlooker>(world, ++seed);
        for (const auto& client : clients_)
            threads_.emplace_back([&client] { run(*client); });
        threads_.emplace_back([this] { run(*onlooker_); });
    }
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;
    ~Crowd() { stop(); }

    void stop() {
        over_ = true;
        for (std::thread& thread : threads_) {
            if (thread.joinable()) thread.join();
        }
    }

    /// What each of them saw. REQUIRES: stop().
    std::vector<Notes*> notes() {
        std::vector<Notes*> all{&onlooker_->notes};
        for (const auto& client : clients_)
            all.push_back(&client->notes);
        return all;
    }

  private:
    template <class Somebody>
    static void run(Somebody& somebody) {
        try {
            somebody.work();
        } catch (const std::exception& error) {
            somebody.notes.nonsense.push_back(error.what());
        }
    }

    std::atomic<bool> over_{false};
    std::vector<std::unique_ptr<Client>> clients_;
    std::unique_ptr<Onlooker> onlooker_;
    std::vector<std::thread> threads_;
};

template <class T>
void append(std::vector<T>& all, const std::vector<T>& more) {
    all.insert(all.end(), more.begin(), more.end());
}

/// The borrowers that still have a slot, as server 0 shows them, by their names.
std::set<std::string> holders_now(Onlooker& onlooker, std::size_t pools) {
    std::set<std::string> names;
    for (std::size_t pool = 0; pool < pools; ++pool) {
        if (const auto sighting = onlooker.look(0, pool))
            names.insert(sighting->holders.begin(), sighting->holders.end());
    }
    return names;
}

bool all_free(Onlooker& onlooker, const std::vector<int>& counts) {
    for (std::size_t server = 0; server < Cluster::size; ++server) {
        for (std::size_t pool = 0; pool < counts.size(); ++pool) {
            const auto sighting = onlooker.look(server, pool);
            if (!sighting || sighting->available != counts[pool]) return false;
        }
    }
    return true;
}

void revoke_all(const Cluster& cluster, const std::vector<std::string>& pools,
                const std::vector<int>& counts) {
    const Reached at = cluster.reached_at(0);
    RawClient client(at.port, at.host);
    for (std::size_t pool = 0; pool < counts.size(); ++pool) {
        for (int position = 0; position < counts[pool]; ++position) {
            client.send(
                http_request("POST", "/l/" + pools[pool] + "/revoke", Json{{"position", position}}.dump()));
            (void)client.receive();
        }
    }
}

std::size_t count_of(const std::vector<Wait>& waits, Answer answer) {
    return static_cast<std::size_t>(
        std::count_if(waits.begin(), waits.end(), [&](const Wait& wait) { return wait.answer == answer; }));
}

/// No more than this many lines, so that a failure can be read.
std::vector<std::string> first_of(std::vector<std::string> lines) {
    if (lines.size() > 12) {
        lines.push_back("... " + std::to_string(lines.size() - 12) + " more");
        lines.erase(lines.begin() + 12, lines.end() - 1);
    }
    return lines;
}

void check_chaos(const Scene& scene) {
    const char* wanted = std::getenv("SEMA_TEST_STORE");
    const std::string engine = wanted != nullptr && *wanted != '\0' ? wanted : "redis";
    const unsigned seed = setting("SEMA_HA_SEED", std::random_device{}() % 1000000);
    CAPTURE(seed);
    std::optional<WrongClock> clock;
    ClusterOptions options{scene.kind, engine, scene.wait_replicas};
    if (!scene.store_goes_on) options.replaced_after = 2s;
    if (scene.leases_last) options.semad_options = {"--rejoin", "1"};
    if (scene.clock_steps) options.store_environment = clock.emplace(0s).options().environment;
    Cluster cluster(std::move(options));
    std::cout << engine << ", " << cluster.description() << ", SEMA_HA_SEED=" << seed << std::endl;

    History history;
    std::vector<std::string> pools;
    for (const int count : scene.counts) {
        pools.push_back(new_lease());
        history.counts.push_back({{count}});
        // Replicas that were just set up may be slow to confirm.
        REQUIRE(eventually([&] {
            const Reached at = cluster.reached_at(0);
            RawClient client(at.port, at.host);
            client.send(http_request("PUT", "/l/" + pools.back(), Json{{"count", count}}.dump()));
            return client.receive().status == 200;
        }));
    }
    // What ended a moment later than its time, as seen from here, ended in time as the store's clock has it.
    // Whoever takes a step of that back may lose a moment as well.
    history.lateness = scene.clock_steps ? 1s : 100ms;

    Driver driver(cluster, scene, clock ? &*clock : nullptr, seed);
    Crowd crowd(cluster, pools, scene, seed);
    driver.run(std::chrono::seconds(setting("SEMA_HA_SECONDS", scene.seconds)));
    const bool is_ready = eventually(
        [&] {
            cluster.tick();
            return cluster.is_store_whole() && cluster.all_ready();
        },
        15s);
    const Moment ready = boot_time();
    crowd.stop();
    const Moment stopped = boot_time();
    CAPTURE(driver.story, cluster.logs());
    CHECK(is_ready);

    Account account;
    cluster.tell_faults(account);
    std::vector<std::string> nonsense;
    for (const Notes* notes : crowd.notes()) {
        append(history.holdings, notes->holdings);
        append(history.revocations, notes->revocations);
        append(history.strays, notes->strays);
        append(account.calls, notes->calls);
        append(account.waits, notes->waits);
        append(account.sightings, notes->sightings);
        append(nonsense, notes->nonsense);
    }

    const std::atomic<bool> not_over{false};
    Onlooker onlooker({cluster, pools, not_over, scene}, seed);
    // Nobody asks any more. What was told of a failure must have nothing by then.
    eventually([&] { return boot_time() > std::max(ready, stopped) + 2s + 500ms; });
    const std::set<std::string> left = holders_now(onlooker, pools.size());
    std::vector<std::string> undead;
    for (const Wait& wait : account.waits) {
        if (wait.answer == Answer::failed && !wait.repeated && left.count(wait.name) != 0)
            undead.push_back(wait.name + " answered at " + std::to_string(wait.answered.count()) +
                             " by server " + std::to_string(wait.server));
    }
    const bool is_all_free = eventually(
        [&] {
            if (scene.leases_last) revoke_all(cluster, pools, scene.counts);
            return all_free(onlooker, scene.counts);
        },
        longest_ttl + 1s);
    const auto found = first_of(breaches(history));
    const auto lapsed = first_of(lapses(account));
    std::string history_file;
    if (!undead.empty() || !is_all_free || !found.empty() || !lapsed.empty() || !nonsense.empty()) {
        history_file = keep("ha-chaos-" + engine + '-' + std::to_string(seed) + ".txt",
                            driver.story + to_text(history) + to_text(account));
    }
    CAPTURE(history_file, undead);
    CHECK(undead.empty());
    CHECK(is_all_free);
    CHECK(cluster.all_ready());

    std::cout << history.holdings.size() << " leases, " << account.waits.size() << " borrows (refused "
              << count_of(account.waits, Answer::no) << ", failed " << count_of(account.waits, Answer::failed)
              << ", without an answer " << count_of(account.waits, Answer::none) << "), "
              << account.calls.size() << " other calls, " << account.sightings.size() << " looks";
    for (const auto& [what, times] : driver.done)
        std::cout << ", " << times << ' ' << what;
    std::cout << std::endl;

    CAPTURE(found);
    CHECK(found.empty());
    CAPTURE(lapsed);
    CHECK(lapsed.empty());
    CAPTURE(nonsense);
    CHECK(nonsense.empty());
    CAPTURE(cluster.surprises());
    CHECK(cluster.surprises().empty());

    // A run in which little happened proves little.
    CHECK(history.holdings.size() >= 20);
    CHECK(account.sightings.size() >= 5);
}

}  // namespace

TEST_CASE("three semads on one store break no promise, whatever breaks") {
    check_chaos({StoreKind::single});
}

TEST_CASE("three semads whose writes reach all replicas break no promise, whatever breaks", "[redis]") {
    check_chaos({StoreKind::sentinel, 2});
}

// A primary that goes on while it is being replaced, and a replica that has not been told of it yet,
// acknowledge what nobody else will ever know of.
TEST_CASE("three semads whose writes reach one replica break no promise where a primary that died stays dead",
          "[redis]") {
    check_chaos({StoreKind::sentinel, 1, false});
}

TEST_CASE("three semads take no lasting lease back from who has it, whatever breaks") {
    check_chaos({.leases_last = true, .counts = {3, 4, 8, 3}, .seconds = 10});
}

// A sanitizer's library wants to be loaded before any other.
#if !SANITIZED
TEST_CASE("three semads on a store whose clock is stepped to and fro break no promise, whatever breaks",
          "[redis]") {
    check_chaos({.clock_steps = true, .seconds = 10});
}
#endif
