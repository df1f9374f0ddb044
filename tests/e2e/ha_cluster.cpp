#include "tests/e2e/ha_cluster.hpp"

#include "tests/support/raw_client.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace sema::test {
namespace {

using namespace std::chrono_literals;

constexpr int semad_port = 7717;
constexpr int store_port = 6379;

int port_of(const std::string& url) {
    return std::stoi(url.substr(url.rfind(':') + 1));
}

}  // namespace

Cluster::Cluster(ClusterOptions cluster_options) : options_(std::move(cluster_options)) {
    std::string why_not;
    network_ = Network::make(why_not);
    description_ = network_ ? "each machine in a network namespace"
                            : "all on the loopback interface with proxies between them (" + why_not + ")";
    for (std::size_t i = 0; i < size; ++i) {
        if (network_) server_machines_[i] = network_->add();
    }
    for (std::size_t i = 0; i < machines(); ++i) {
        if (network_) store_machines_.push_back(network_->add());
    }

    if (options_.kind == StoreKind::single) {
        store_ = make_store();
    } else {
        SentinelOptions options;
        options.engine = options_.engine;
        options.down_after = options_.replaced_after;
        options.failover_timeout = 2s;
        for (std::size_t i = 0; network_ && i < machines(); ++i)
            options.machines[i] = {network_->address(store_machines_[i]), network_->on(store_machines_[i])};
        set_ = std::make_unique<SentinelSet>(std::move(options));
    }
    for (std::size_t i = 0; i < size; ++i) {
        if (!network_) {
            ports_[i] = std::make_unique<ReservedPort>();
            client_proxies_[i] = std::make_unique<Proxy>(ports_[i]->number());
            if (store_) store_proxies_[i] = std::make_unique<Proxy>(store_->port());
        }
        servers_[i].down = begin(servers_[i].unanswering);
        start(i);
    }
    if (!eventually([this] {
            tick();
            return all_ready();
        }))
        throw std::runtime_error("the semads did not get ready; they wrote: " + logs());
}

Cluster::~Cluster() = default;

std::unique_ptr<StoreServer> Cluster::make_store() const {
    const auto place = [&](auto options) {
        if (network_) {
            options.address = network_->address(store_machines_[0]);
            options.program = network_->on(store_machines_[0]);
            options.port = store_port;
        }
        options.program.environment = options_.store_environment;
        return options;
    };
    if (options_.engine == "postgresql")
        return std::make_unique<PostgresqlServer>(place(PostgresqlOptions{}));
    RedisOptions options;
    options.engine = options_.engine;
    return std::make_unique<RedisServer>(place(std::move(options)));
}

Reached Cluster::reached_at(std::size_t server) const {
    if (network_) return {network_->address(server_machines_[server]), semad_port};
    return {"127.0.0.1", port_of(client_proxies_[server]->url())};
}

std::vector<std::string> Cluster::command_of(std::size_t server) const {
    const std::string listen =
        network_ ? network_->address(server_machines_[server]) + ":" + std::to_string(semad_port)
                 : "127.0.0.1:" + std::to_string(ports_[server]->number());
    std::string store = set_ ? set_->url() : store_->url();
    if (!set_ && !network_) {
        const std::string port = ":" + std::to_string(store_->port());
        store.replace(store.rfind(port), port.size(),
                      ":" + std::to_string(port_of(store_proxies_[server]->url())));
    }
    std::vector<std::string> command = {SEMAD, "--listen", listen, "--store", store};
    if (set_)
        command.insert(command.end(), {"--redis-wait-replicas", std::to_string(options_.wait_replicas)});
    command.insert(command.end(), options_.semad_options.begin(), options_.semad_options.end());
    return command;
}

void Cluster::launch(Server& server) {
    const auto number = static_cast<std::size_t>(&server - servers_.data());
    server.started = boot_time();
    server.was_up = false;
    server.program = std::make_unique<Program>(
        command_of(number), network_ ? network_->on(server_machines_[number]) : ProgramOptions{});
}

std::size_t Cluster::begin(std::vector<Fault>& faults) {
    faults.push_back({boot_time(), Moment::max()});
    return faults.size() - 1;
}

void Cluster::end(Fault& fault) {
    fault.until = boot_time();
}

void Cluster::end_late(Fault& fault) {
    const Moment now = boot_time();
    fault.until = now + (now - fault.from);
}

void Cluster::kill(std::size_t server) {
    Server& it = servers_[server];
    // One that had not come up yet is down still.
    if (it.was_up) it.down = begin(it.unanswering);
    it.is_wanted = false;
    it.was_up = false;
    ++it.incarnation;
    it.program->signal(SIGKILL);
    it.program->wait();
}

void Cluster::start(std::size_t server) {
    Server& it = servers_[server];
    it.is_wanted = true;
    launch(it);
}

void Cluster::pause(std::size_t server) {
    Server& it = servers_[server];
    it.halted = begin(it.unanswering);
    it.program->signal(SIGSTOP);
}

void Cluster::resume(std::size_t server) {
    Server& it = servers_[server];
    it.program->signal(SIGCONT);
    end(it.unanswering[it.halted]);
}

void Cluster::cut_off(std::size_t server, const std::vector<std::size_t>& machines, Cut cut) {
    Server& it = servers_[server];
    it.without_store = begin(it.cut_off);
    if (!network_) {
        return store_proxies_[server]->become(cut == Cut::questions ? Proxy::State::deaf
                                              : cut == Cut::answers ? Proxy::State::mute
                                                                    : Proxy::State::silent);
    }
    for (const std::size_t machine : machines) {
        const std::size_t semad = server_machines_[server];
        const std::size_t store = store_machines_[machine];
        if (cut != Cut::answers) it.cuts.emplace_back(semad, store);
        if (cut != Cut::questions) it.cuts.emplace_back(store, semad);
    }
    for (const auto& [from, to] : it.cuts)
        network_->cut(from, to);
}

void Cluster::mend(std::size_t server) {
    Server& it = servers_[server];
    if (!network_) store_proxies_[server]->become(Proxy::State::open);
    for (const auto& [from, to] : std::exchange(it.cuts, {}))
        network_->mend(from, to);
    end_late(it.cut_off[it.without_store]);
}

void Cluster::isolate(std::size_t server) {
    Server& it = servers_[server];
    it.isolated = begin(it.unanswering);
    it.without_store = begin(it.cut_off);
    ++it.incarnation;
    if (network_) return network_->unplug(server_machines_[server]);
    client_proxies_[server]->become(Proxy::State::silent);
    if (store_proxies_[server]) store_proxies_[server]->become(Proxy::State::silent);
}

void Cluster::rejoin(std::size_t server) {
    Server& it = servers_[server];
    if (network_) {
        network_->plug(server_machines_[server]);
    } else {
        client_proxies_[server]->become(Proxy::State::open);
        if (store_proxies_[server]) store_proxies_[server]->become(Proxy::State::open);
    }
    ++it.incarnation;
    end_late(it.unanswering[it.isolated]);
    end_late(it.cut_off[it.without_store]);
}

bool Cluster::is_well(std::size_t server, Moment for_long) const {
    const Server& it = servers_[server];
    const Moment now = boot_time();
    const auto is_over = [&](const Fault& fault) { return fault.until <= now; };
    return it.is_wanted && it.was_up && now - it.started >= for_long &&
           std::all_of(it.unanswering.begin(), it.unanswering.end(), is_over) &&
           std::all_of(it.cut_off.begin(), it.cut_off.end(), is_over);
}

std::size_t Cluster::primary() const {
    try {
        return set_ ? set_->primary() : 0;
    } catch (const std::exception&) {
        return 0;
    }
}

void Cluster::store_fault_begins() {
    begin(store_away_);
    is_store_out_ = true;
}

void Cluster::store_fault_ends(void (*as)(Fault&)) {
    is_store_out_ = false;
    // A set is whole again some time later, as tick() finds.
    if (!set_) as(store_away_.back());
}

void Cluster::kill_store(std::size_t machine) {
    store_fault_begins();
    if (store_) return store_->kill9();
    set_->server(machine).kill9();
    set_->sentinel(machine).kill9();
}

bool Cluster::goes_on_without(std::size_t machine) const {
    try {
        return set_->primary() != machine && set_->replicas_online() == 1;
    } catch (const std::exception&) {
        return false;
    }
}

void Cluster::start_store(std::size_t machine) {
    if (store_) {
        store_->start();
    } else {
        set_->sentinel(machine).start();
        set_->server(machine).start();
    }
    store_fault_ends(end);
}

void Cluster::pause_store(std::size_t machine) {
    store_fault_begins();
    if (store_) return store_->pause();
    set_->server(machine).pause();
    set_->sentinel(machine).pause();
}

void Cluster::resume_store(std::size_t machine) {
    if (store_) {
        store_->resume();
    } else {
        set_->server(machine).resume();
        set_->sentinel(machine).resume();
    }
    store_fault_ends(end);
}

void Cluster::isolate_store(std::size_t machine) {
    store_fault_begins();
    if (network_) return network_->unplug(store_machines_.at(machine));
    for (const auto& proxy : store_proxies_)
        proxy->become(Proxy::State::silent);
}

void Cluster::rejoin_store(std::size_t machine) {
    if (network_) {
        network_->plug(store_machines_.at(machine));
    } else {
        for (const auto& proxy : store_proxies_)
            proxy->become(Proxy::State::open);
    }
    store_fault_ends(end_late);
}

void Cluster::step_store_clock(const WrongClock& clock, std::chrono::seconds to) {
    clock.step(to);
    // Until it was taken back nobody can change anything, nor for a moment after it.
    begin(store_away_);
    store_away_.back().until = boot_time() + 2s;
}

bool Cluster::is_store_whole() const {
    return !is_store_out_ && (store_away_.empty() || store_away_.back().until <= boot_time());
}

void Cluster::tick() {
    for (Server& server : servers_) {
        if (!server.is_wanted) continue;
        if (!server.was_up && server.program->err().find(" listening on ") != std::string::npos) {
            server.was_up = true;
            end(server.unanswering[server.down]);
        }
        if (!server.program->ended()) continue;
        if (server.was_up) {
            surprises_.push_back(server.program->err());
            server.down = begin(server.unanswering);
            server.was_up = false;
            ++server.incarnation;
        }
        // As a service manager does.
        if (boot_time() - server.started > 200ms) launch(server);
    }
    if (set_ && !is_store_out_ && !store_away_.empty() && store_away_.back().until == Moment::max() &&
        set_->replicas_online() == 2)
        end(store_away_.back());
}

bool Cluster::all_ready() const {
    for (std::size_t i = 0; i < size; ++i) {
        try {
            const Reached at = reached_at(i);
            RawClient client(at.port, at.host, 500ms);
            client.send(http_request("GET", "/readyz"));
            if (client.receive(false, 1500ms).status != 200) return false;
        } catch (const std::exception&) {
            return false;
        }
    }
    return true;
}

void Cluster::tell_faults(Account& account) const {
    account.unanswering.clear();
    account.cut_off.clear();
    for (const Server& server : servers_) {
        account.unanswering.push_back(server.unanswering);
        account.cut_off.push_back(server.cut_off);
    }
    account.store_away = store_away_;
    // What a primary had only told its replicas' connections may be gone with it.
    if (set_) account.queue_lost = store_away_;
}

std::string Cluster::logs() const {
    std::string all;
    for (std::size_t i = 0; i < size; ++i)
        all += "semad " + std::to_string(i) + ":\n" + servers_[i].program->err();
    if (!set_) return all;
    for (std::size_t i = 0; i < size; ++i) {
        all += "store " + std::to_string(i) + ":\n" + set_->server(i).log();
        all += "sentinel " + std::to_string(i) + ":\n" + set_->sentinel(i).log();
    }
    return all;
}

}  // namespace sema::test
