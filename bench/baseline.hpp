#pragma once

#include <string>
#include <vector>

namespace sema::bench {

/// What the machine itself takes for the parts of a call; each reports its figures.

/// Writes 4 KiB and calls fdatasync, `rounds` times, within one file that is made in `folder` and removed.
/// A program that answers only when a change is on the disk cannot answer sooner than that.
void measure_disk(const std::string& folder, int rounds);

/// Sends 200 bytes over a TCP connection of the loopback interface and gets them back, `rounds` times.
void measure_loopback(int rounds);

/// Runs a command, `rounds` times, one after the other, its output thrown away. Every run must end with
/// status 0.
void measure_command(const std::vector<std::string>& command, int rounds);

}  // namespace sema::bench
