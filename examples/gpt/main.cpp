// SPDX-License-Identifier: MIT
#include "app/commands.hpp"

int main(int argc, char** argv) { return gpt::run_program(argc, argv); }
