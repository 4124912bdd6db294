// SPDX-License-Identifier: Apache-2.0
// linked_main.cpp - a llama-server whose link names libspeckv_llama_server.so before all others:
// the package's server library, with a main of our own, as in docs/llama-server.md. For
// linked_test.py.

// What the package's build puts into its executable, and says which build it is.
int llama_build_number() { return 10359; }
const char* llama_commit() { return "unknown"; }
const char* llama_compiler() { return "unknown"; }
const char* llama_build_target() { return "unknown"; }
const char* llama_build_info() { return "b10359"; }
void llama_print_build_info(const char*) {}

int llama_server(int argc, char** argv);

int main(int argc, char** argv) { return llama_server(argc, argv); }
