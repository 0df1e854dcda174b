/*
 * Which lwp a thread of an image has: the kernel asks hundreds of times in each system call,
 * and finds it where the platform (rumprun/src/cpu/data.rs) keeps it for the CPU.
 *
 * This comes before each C source of a kernel for images.  The tree's own functions of
 * these names stay beside them; they make a hypercall.
 */

#ifndef RUMP_IMAGE_CURLWP_H_
#define	RUMP_IMAGE_CURLWP_H_

#ifdef __x86_64__
struct lwp;

#define	RUMP_IMAGE_INLINE \
	extern __inline __attribute__((__gnu_inline__, __always_inline__, __unused__))

RUMP_IMAGE_INLINE struct lwp *
rump_lwproc_curlwp_hypercall(void)
{
	struct lwp *l;

	/* Another after each call that may have changed it: all that write memory. */
	__asm("movq %%gs:8, %0" : "=r" (l) : "m" (*(const char (*)[])8));
	return l;
}

RUMP_IMAGE_INLINE struct lwp *
x86_curlwp(void)
{

	return rump_lwproc_curlwp_hypercall();
}

#undef	RUMP_IMAGE_INLINE
#endif

#endif
