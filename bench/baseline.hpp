#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace sema::bench {

/// How long both sides of a hand-off are idle before it, here and where a server's are measured. A processor
/// and a disk that rested answer later than busy ones.
constexpr std::chrono::milliseconds rest_before_hand_off(10);

/// What the machine itself takes for the parts of a call; each reports its figures.

/// Writes 4 KiB and calls fdatasync, `rounds` times, within one file that is made in `folder` and removed.
/// A program that answers only when a change is on the disk cannot answer sooner than that.
void measure_disk(const std::string& folder, int rounds);

/// Sends 200 bytes over a TCP connection of the loopback interface and gets them back, `rounds` times.
void measure_loopback(int rounds);

/// What a hand-off takes at least: after a rest, a message arrives over one connection, 4 KiB are written and
/// synced as in measure_disk(), and a message goes out over another connection. `rounds` times.
void measure_hand_off(const std::string& folder, int rounds);

/// Has the Redis on a port of the loopback interface change a value after a rest, `rounds` times.
/// Where it syncs before it answers, a server that keeps its pools there cannot answer sooner than that.
void measure_redis(unsigned short port, int rounds);

/// Runs commands, all of them in turn, `rounds` times, one process at a time, their output thrown away.
/// `words` are the commands with "," between them; the first word of each is the name under which it is
/// reported, as `NAME_p50` and so on. Every run must end with status 0.
void measure_commands(const std::vector<std::string>& words, int rounds);

}  // namespace sema::bench
