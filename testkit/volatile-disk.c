/*
 * A disk with a volatile write cache, for a program that is started with this library preloaded. What the program writes to the file
 * named by VOLATILE_DISK reaches it only by fsync or fdatasync: until then it lies in memory of the process, and is gone when that
 * is killed, as after a loss of power.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char *cache;
static size_t size;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Whether the descriptor is of the file; the first time its bytes are taken into the cache. */
static int is_disk(int fd) {
  const char *path = getenv("VOLATILE_DISK");
  struct stat disk, given;
  if (path == NULL || fstat(fd, &given) != 0 || stat(path, &disk) != 0) return 0;
  if (disk.st_ino != given.st_ino || disk.st_dev != given.st_dev) return 0;
  pthread_mutex_lock(&lock);
  if (cache == NULL && given.st_size > 0) {
    cache = mmap(NULL, given.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    size = given.st_size;
  }
  pthread_mutex_unlock(&lock);
  return cache != NULL && cache != MAP_FAILED;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  if (!is_disk(fd)) return REAL(pwrite64)(fd, bytes, count, at);
  if (at < 0 || (size_t)at + count > size) {
    errno = EINVAL;
    return -1;
  }
  memcpy(cache + at, bytes, count);
  return count;
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) {
  if (!is_disk(fd)) return REAL(pread64)(fd, bytes, count, at);
  if ((size_t)at >= size) return 0;
  if (count > size - at) count = size - at;
  memcpy(bytes, cache + at, count);
  return count;
}

static int make_durable(int fd) {
  for (size_t at = 0; at < size;) {
    ssize_t count = REAL(pwrite64)(fd, cache + at, size - at, at);
    if (count <= 0) return -1;
    at += count;
  }
  return 0;
}

int fdatasync(int fd) {
  if (is_disk(fd) && make_durable(fd) != 0) return -1;
  return REAL(fdatasync)(fd);
}

int fsync(int fd) {
  if (is_disk(fd) && make_durable(fd) != 0) return -1;
  return REAL(fsync)(fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }
ssize_t pread(int fd, void *bytes, size_t count, off_t at) { return pread64(fd, bytes, count, at); }
