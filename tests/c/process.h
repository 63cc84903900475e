/* What this process holds, from /proc: threads, descriptors, resident memory. */
#ifndef PROCESS_H
#define PROCESS_H

#include "contract.h"

#include <dirent.h>

static inline int entries_of(const char *folder)
{
    DIR *dir = opendir(folder);
    int count = 0;
    NEED(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static inline int threads_now(void)
{
    return entries_of("/proc/self/task");
}

/* The one that reads the folder is among them each time. */
static inline int descriptors_now(void)
{
    return entries_of("/proc/self/fd");
}

static inline long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    NEED(file != NULL && fscanf(file, "%*d %ld", &pages) == 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Under a checker of memory all takes its time, and memory is not what it is: run.sh says so. */
static inline int is_slow(void)
{
    return getenv("SLOW") != NULL;
}

#endif
