// System calls that Swift's Glibc module does not show. Swift imports glibc without _GNU_SOURCE, and
// this header must not define it: the types of the two modules would differ. The .c file does.
#ifndef LARDER_SYSTEM_H
#define LARDER_SYSTEM_H

#include "larder_sasl.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__x86_64__)
#include <errno.h>
#include <sys/syscall.h>
#endif

// ---- the start of the process ----

// The arguments of main. Swift's own list comes from /proc and from the place of the environment in memory. It is empty
// without /proc, and when a preloaded library has changed the environment.
int larder_argument_count(void);
// The argument at `number`, which must be less than the count.
const char *larder_argument(int number);

// Opens /dev/null on each of the descriptors 0, 1 and 2 that is closed. Otherwise the next file or socket would become
// standard output or the log. False on failure.
bool larder_open_standard_descriptors(void);

// ---- sockets, descriptors, process ----

// accept4 needs _GNU_SOURCE. Accepts without asking for the peer's address; the new descriptor is
// non-blocking and closed on exec. -1 and errno on failure.
int larder_accept(int listener);

// <sys/eventfd.h> is not in the Glibc module. A non-blocking counter at 0, closed on exec.
int larder_eventfd(void);

// pthread_setname_np needs _GNU_SOURCE. Names the calling thread (15 bytes at most) for top and gdb.
void larder_name_thread(const char *name);

// sched_getaffinity and CPU_COUNT need _GNU_SOURCE. On how many processors the calling thread may run; 0 where that
// cannot be told.
int larder_available_processors(void);

// ioctl is variadic. Returns the bytes in the socket's send buffer that the peer has not taken; -1 on failure.
int larder_unsent_bytes(int fd);

// POLLRDHUP needs _GNU_SOURCE. Whether the peer has closed its side, even if there are bytes to read.
bool larder_has_hung_up(int fd);

// SO_PEERCRED needs _GNU_SOURCE. The user id of the peer of a Unix socket; -1 if the system cannot tell it.
int64_t larder_peer_user(int fd);

// Limits the time that a send on the socket waits (SO_SNDTIMEO). In C, because several Swift modules have struct
// timeval.
bool larder_set_send_timeout(int fd, int64_t milliseconds);

// S_ISSOCK is a macro with arguments, which Swift does not import. lstat: a link is not followed.
bool larder_is_socket(const char *path);

// read and send without glibc's bookkeeping for pthread_cancel, which nobody here uses: it costs more than
// all else on this side of the kernel, 60 to 100 instructions a call. -1 and errno on failure.
#if defined(__x86_64__)
static inline ssize_t larder_receive(int fd, void *bytes, size_t count) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"((long)SYS_read), "D"((long)fd), "S"(bytes), "d"(count)
                     : "rcx", "r11", "memory");
    if (result >= 0) return result;
    errno = (int)-result;
    return -1;
}
static inline ssize_t larder_send(int fd, const void *bytes, size_t count, int flags) {
    long result;
    register long fourth __asm__("r10") = flags;
    register long fifth __asm__("r8") = 0;
    register long sixth __asm__("r9") = 0;
    __asm__ volatile("syscall" : "=a"(result)
                     : "a"((long)SYS_sendto), "D"((long)fd), "S"(bytes), "d"(count), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    if (result >= 0) return result;
    errno = (int)-result;
    return -1;
}
#else
ssize_t larder_receive(int fd, void *bytes, size_t count);
ssize_t larder_send(int fd, const void *bytes, size_t count, int flags);
#endif

// ---- end of sockets, descriptors, process ----

// ---- take-over ----

enum { larder_descriptors_max = 250 };

// The CMSG macros are not in the Glibc module. Sends one packet with descriptors. False and errno on failure.
bool larder_send_packet(int fd, const void *bytes, size_t count, const int *descriptors, int descriptor_count);

// Receives one packet. `descriptors` has room for larder_descriptors_max, which are closed on exec. A packet that is cut
// off gives -1 and EMSGSIZE, and its descriptors are closed. 0: the peer has closed. -1 and errno on failure.
ssize_t larder_receive_packet(int fd, void *bytes, size_t capacity, int *descriptors, int *descriptor_count);

// SO_PEERCRED needs _GNU_SOURCE. The process id of the peer of a Unix socket; 0 if the system cannot tell it.
int64_t larder_peer_process(int fd);

// Starts this program again with the arguments of main, in `directory`, with `variables` added to the environment
// (NULL ends them). No signal is blocked in it, and SIGPIPE has its default action. 0 or an error number.
int larder_start_again(const char *directory, char *const *variables, pid_t *process);

// ---- end of take-over ----

// ---- command line ----

// What getopt_long found at one place of a command line.
typedef struct {
    // The option's letter; '?' for one that cannot be, ':' for one whose argument is missing.
    int letter;
    // Of '?' and ':': the letter meant, 0 for a long name that is unknown or ambiguous.
    int meant;
    // The option's argument, or null.
    const char *argument;
    // Of '?' and ':': the word of the command line that is wrong.
    const char *word;
} larder_getopt_found;

// A long name for a letter; argument: 0 none, 1 needed, 2 may follow after "=".
typedef struct {
    const char *name;
    int argument;
    int letter;
} larder_getopt_name;

// getopt_long is not in the Glibc module and keeps its place in globals: this runs it over a whole
// command line under a lock. Calls `visit` for each option, moves the plain words behind the options
// and returns the index of the first of them; -1 when there is no memory. Prints nothing.
int larder_getopt_each(
    int argc, char **argv, const char *letters, const larder_getopt_name *names, int names_count,
    void *context, void (*visit)(void *context, larder_getopt_found found));

// ---- end of command line ----

// ---- memory ----

// Makes the C library give large blocks back to the system as soon as they are freed, and share
// arenas between threads: a burst of large requests must not stay in the resident set.
void larder_tune_malloc(void);

// Gives back what the C library holds free. Takes its locks: not for the hot path.
void larder_trim_malloc(void);

// Takes the pages of code out of the resident set that were read so far. Those that are used again come back from the
// page cache. Of the 4 MB that the start needs, serving needs less than half.
void larder_drop_start_pages(void);

// The bytes that a piece of the C library's memory really has.
size_t larder_usable_size(const void *memory);

// ---- clocks ----
//
// Plain numbers: Swift takes the types timespec and timeval for those of whichever C module it met
// first, which need not be one that the caller may import.

#include <stdbool.h>
#include <stdint.h>

// Milliseconds of the wall clock, or of the clock since the machine's boot, which includes time in suspend.
int64_t larder_milliseconds(bool wall);

typedef struct {
    int64_t user_microseconds;
    int64_t system_microseconds;
} larder_cpu_time;

// What the process has used so far.
larder_cpu_time larder_process_cpu_time(void);

#endif
