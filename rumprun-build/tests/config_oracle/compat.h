/*
 * What NetBSD's C library offers a program and others do not, as far as config(1)
 * needs it for an ioconf file. Functions that only a whole kernel's configuration
 * reaches are stand-ins that would abort.
 */
#ifndef COMPAT_H
#define COMPAT_H
#define _GNU_SOURCE 1
#define HAVE_NBTOOL_CONFIG_H 1

#include <sys/types.h>
#include <sys/sysmacros.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef __RCSID
#undef __COPYRIGHT
#define __RCSID(text) struct compat_rcsid
#define __COPYRIGHT(text) struct compat_copyright
#define __dead __attribute__((__noreturn__))
#define __printflike(format, arguments)
#define __UNCONST(pointer) ((void *)(uintptr_t)(const void *)(pointer))

typedef int devmajor_t;
typedef int devminor_t;
#define NODEVMAJOR (-1)
#define NODEV ((dev_t)-1)
#define VIS_TAB 0

#define getprogname() "config"
#define setprogname(name) ((void)(name))

static inline void *
compat_need(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}
#define emalloc(size) compat_need(malloc((size) + 1))
#define ecalloc(count, size) compat_need(calloc((count) + 1, (size)))
#define erealloc(old, size) compat_need(realloc((old), (size) + 1))
#define estrdup(text) ((char *)compat_need(strdup(text)))
#define easprintf(...) do { if (asprintf(__VA_ARGS__) < 0) abort(); } while (0)
#define strlcpy(to, from, size) snprintf((to), (size), "%s", (from))

/* The configuration is logged into a file that ioconf mode throws away. */
#define strvis(to, from, flags) (strcpy((to), (from)), 0)
#define strunvis(to, from) (abort(), 0)
#define crc_buf(start, text, length) (abort(), 0U)
#endif
