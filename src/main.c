/* dyttrain: the first word names a command, or is the config to train. What follows is in cmd/. */
#include <signal.h>

#include "cmd/command.h"

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write(), not a death, */
    signal(SIGXFSZ, SIG_IGN); /* and so is a limit on the size of files (ulimit -f) */
    return dt_command_main(argc - 1, argv + 1);
}
