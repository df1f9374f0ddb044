#pragma once

// One name for the header of either Catch2 generation: 2 (Debian 12) and 3 (elsewhere).
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
