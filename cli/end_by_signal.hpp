#pragma once

namespace sema {

/// Ends the process by the signal, as if nothing had been done about that, but without a core: its parent
/// sees what it would have seen of the command. (A shell leaves its loop only if a Ctrl-C ended what
/// it runs.) Returns where the signal doesn't end the process, as with process 1 of a container.
void end_by_signal(int number);

}  // namespace sema
