/// @file
/// All of the library but <sema/asio.hpp>.
#pragma once

#include <sema/acquire_options.hpp>
#include <sema/client.hpp>
#include <sema/counting_semaphore.hpp>
#include <sema/errc.hpp>
#include <sema/lease.hpp>
#include <sema/mutex.hpp>
#include <sema/operation.hpp>
#include <sema/scheduler.hpp>
#include <sema/semaphore.hpp>
