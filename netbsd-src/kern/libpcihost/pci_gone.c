/*
 * Delays for devices that are gone, or stopped.
 *
 * A driver looks at a register, waits with delay(9) and looks again, up to some hundred
 * times, until its device is ready.  One that is gone never is, and drivers do not know:
 * wm(4) waits a second for each register of its PHY, and there are a hundred of them, with
 * a virtual CPU busy all the time and the kernel locked.  So there is no delay for a device
 * that is gone, and it is not asked any more: what is read is all zeros in one of three
 * times, and all ones in the others.  Who waits for a bit, be it set or not, goes on, and
 * so does a handler that is called as long as it is told of something.
 *
 * Which device a delay is for is not said.  It is taken to be the one that the virtual CPU
 * has read from last, as a delay does not give that up.
 *
 * Who waits for a disk that was stopped waits for who answers in its place (pci_late.c).
 *
 * Weak: of several devices that are gone at the same time, one is known.
 */

#include <sys/param.h>
#include <sys/atomic.h>
#include <sys/bus.h>
#include <sys/cpu.h>
#include <sys/systm.h>

#include "rump_private.h"
#include "pci_user.h"
#include "pcihost.h"
#include "rump_pci.h"

/* Shorter ones are not worth the question, in microseconds. */
#define	LONG	1000

/* By virtual CPU, what was read from. */
static volatile bus_space_handle_t from[MAXCPUS];

/* The region of a device that is gone; its length is 0 if there is none. */
static volatile unsigned long gone_start, gone_len;

static void	(*delay_tree)(unsigned int);

/* Whether a register that is about to be written is of a device that is gone. */
bool
pcihost_is_gone(bus_space_handle_t address)
{

	return address - gone_start < gone_len;
}

/* The same of one that is about to be read, and then what is. */
bool
pcihost_reads_gone(bus_space_handle_t address, uint32_t *value)
{
	static volatile unsigned reads;

	from[cpu_index(curcpu())] = address;
	if (__predict_true(!pcihost_is_gone(address)))
		return false;
	*value = reads++ % 3 == 0 ? 0 : 0xffffffff;
	return true;
}

/* There may be another device at the addresses. */
void
pcihost_forget_gone(void)
{

	gone_len = 0;
	membar_producer();
}

static bool
ask(bus_space_handle_t address)
{
	unsigned long start, len;

	if (!rumpcomp_pci_is_gone(address, &start, &len))
		return false;
	pcihost_forget_gone();
	gone_start = start;
	membar_producer();
	gone_len = len;
	return true;
}

static void
delay_there(unsigned int us)
{
	bus_space_handle_t address = from[cpu_index(curcpu())];

	pcihost_polls();
	if (!pcihost_is_gone(address) && (us < LONG || address == 0 || !ask(address)))
		(*delay_tree)(us);
}

RUMP_COMPONENT(RUMP_COMPONENT_DEV)
{

	delay_tree = delay_func;
	delay_func = delay_there;
}
