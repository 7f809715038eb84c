// A library to be preloaded: it adds to the wall clock of a process what a file says.
#ifndef SOAK_CLOCK_H
#define SOAK_CLOCK_H

// The environment variable with the file's path. The file has one int64_t: nanoseconds, of either sign.
#define SOAK_CLOCK_VARIABLE "SOAK_CLOCK_FILE"

#endif
