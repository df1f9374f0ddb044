/// @file
/// What marks a name as part of the library's interface.
#pragma once

/// Visible outside of the shared library. All that lacks it is the library's own.
#define SEMA_API __attribute__((visibility("default")))
