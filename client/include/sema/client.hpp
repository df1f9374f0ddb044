/// @file
/// The connection of a program to its servers.
#pragma once

#include <sema/api.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace sema {
inline namespace v1 {

namespace detail {
class Core;
struct Access;
struct PoolName;
}  // namespace detail

/// What a client needs to know of its servers.
struct client_options {
    /// The address: `http://HOST[:PORT][/PATH]`, the same with https, or `unix:/PATH`. Several with commas
    /// between are servers over one store: a call goes to the one that answered last, and where that is
    /// away, to the next.
    std::string server = "http://127.0.0.1:7717";
    /// A file of certificates in PEM: the authorities to trust in place of the system's. Empty for those.
    std::string ca_file{};
    /// The certificate to show to a server that asks for one, and its key, in PEM. Empty for none; the key
    /// may stand in the certificate's file.
    std::string certificate_file{};
    std::string key_file{};
    /// How long a call that does not wait for a slot may take in all, > 0: `try_acquire` too, and `acquire`
    /// with a wait of 0. One that waits takes its wait, and up to a second, or this where that is less, for
    /// the answer that each server owes at its end.
    std::chrono::nanoseconds call_timeout = std::chrono::seconds(15);
    /// How many acquires of one pool and priority wait at the server at a time, each on a connection of its
    /// own, > 0. Those beyond wait in the client for one of these to end, first come, first served, and get
    /// their place in the server's queue then. All pools and priorities together have half of the descriptors
    /// that the process may have (RLIMIT_NOFILE) when the client is made, and an eighth more for the first of
    /// each.
    std::size_t most_places = 256;
};

/// A program's way to the servers. It has one I/O thread for all calls, waits, renewals and callbacks, which
/// begins with it and ends in its destructor; nothing is detached. The thread blocks all signals.
///
/// Thread-safe: any thread may use any semaphore of it at any time. The semaphores and leases may outlive it:
/// their calls fail with errc::client_closed then.
///
/// It has a few descriptors, one for each acquire that waits at the server, and one for each call: of those
/// that wait for nothing 128 at a time, and no more than an eighth of what the process may have. Where a call
/// finds none left, as a renewal may, acquires that wait give up theirs: they keep their places, and come
/// back later. Two descriptors, which libcurl opens to wake the thread up, are not closed by exec(): libcurl
/// has no way to ask for that.
///
/// The environment names a proxy (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`) as for curl(1).
///
/// After fork() the client goes on in the parent. In the child, all calls on what came of it fail with
/// errc::client_closed, and destructors do nothing: no lease is returned, none renewed. A lease is not held
/// there, nor is a permit or a mutex: lost() is stopped, unlock() does nothing, and the functions of
/// on_lost() are not called. A child makes a client of its own. It is known by its memory, which it has as a
/// copy, whichever call has made it: fork(), or clone() with whatever namespaces.
class SEMA_API client {
  public:
    /// Throws sema::error with `std::errc::invalid_argument` where the address cannot be read, and
    /// std::system_error where the system has no thread to give, or no descriptors
    /// (`std::errc::too_many_files_open`). The server is not asked for anything yet.
    explicit client(client_options options = {});
    /// The same, with `client_options::server`.
    explicit client(std::string server);
    explicit client(const char* server) : client(std::string(server)) {}

    /// Ends all that is under way, and all that is begun from then on, with errc::client_closed, and gives
    /// leases that are being returned up to 1.5 s to get there. Leases that are still held are not returned,
    /// since their holders may still use the slots: they are lost (lease::lost()) as nobody would renew them,
    /// and free themselves at the end of their ttl. Takes less than 2 s. REQUIRES: it is not the client's own
    /// thread that calls this, as a callback would.
    ~client();
    client(const client&) = delete;
    client& operator=(const client&) = delete;

  private:
    friend struct detail::Access;
    std::shared_ptr<detail::Core> core_;
};

}  // namespace v1
}  // namespace sema
