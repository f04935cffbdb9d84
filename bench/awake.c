/* Keeps its processor from halting; see awake.py. */

#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

int main(void)
{
    pid_t parent = getppid();

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent)
        for (int i = 0; i < 100000000; i++)
            __asm__ volatile("" ::: "memory");
    return 0;
}
