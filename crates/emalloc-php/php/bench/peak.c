/* Runs a command and says how much memory it had resident at most, exactly.
 *
 * usage: peak FILE COMMAND [ARGUMENT...]   FILE gets the peak in KB; the status is the command's
 *
 * The system's own figure (VmHWM) comes from counts that each processor keeps for itself a while: where a program gives memory back, it
 * may miss some hundred KB. Here the process is held where its resident memory can become less, before each call that gives memory
 * back and before its end, and the system is asked to count its pages. Children of the command are not followed. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t command;
static long peak;

/* Who stops us means the command. */
static void pass_on(int signal)
{
    kill(command, signal);
}

static void fail(const char *what)
{
    perror(what);
    if (command > 0) {
        kill(command, SIGKILL);
    }
    exit(125);
}

/* Notes what is resident now. */
static void look(void)
{
    char path[64], line[256];
    long kb = -1;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int) command);
    FILE *figures = fopen(path, "r");
    while (figures && kb < 0 && fgets(line, sizeof line, figures)) {
        sscanf(line, "Rss: %ld kB", &kb);
    }
    if (kb < 0) {
        fail(path);
    }
    fclose(figures);
    if (kb > peak) {
        peak = kb;
    }
}

/* The command is at a call: can it give memory back? (`mmap` can take the place of what is there.) */
static int gives_back(void)
{
    struct __ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, command, sizeof info, &info) < 0) {
        fail("PTRACE_GET_SYSCALL_INFO");
    }
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY) {
        return 0;
    }
    switch (info.entry.nr) {
    case SYS_munmap:
    case SYS_madvise:
    case SYS_mremap:
    case SYS_mmap:
    case SYS_brk:
        return 1;
    default:
        return 0;
    }
}

int main(int count, char **arguments)
{
    int status;
    if (count < 3) {
        fprintf(stderr, "usage: peak FILE COMMAND [ARGUMENT...]\n");
        return 125;
    }
    command = fork();
    if (command == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execvp(arguments[2], arguments + 2);
        perror(arguments[2]);
        _exit(127);
    }
    if (command < 0 || waitpid(command, &status, 0) < 0) {
        fail("starting the command");
    }
    signal(SIGINT, pass_on);
    signal(SIGTERM, pass_on);
    if (ptrace(PTRACE_SETOPTIONS, command, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) < 0) {
        fail("PTRACE_SETOPTIONS");
    }
    for (int deliver = 0;;) {
        if (ptrace(PTRACE_SYSCALL, command, 0, deliver) < 0 || waitpid(command, &status, 0) < 0) {
            fail("following the command");
        }
        deliver = 0;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            break;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            if (gives_back()) {
                look();
            }
        } else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
            look();
        } else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
            /* What was before is another program. */
            peak = 0;
        } else {
            deliver = WSTOPSIG(status);
        }
    }
    FILE *file = fopen(arguments[1], "w");
    if (!file || fprintf(file, "%ld\n", peak) < 0 || fclose(file) != 0) {
        fail(arguments[1]);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
