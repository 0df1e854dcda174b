/*
 * Delays for devices that are gone, or stopped.
 *
 * A driver looks at a register, waits with delay(9) and looks again, up to some hundred
 * times, until its device is ready.  One that is gone never is, and drivers do not know:
 * wm(4) waits a second for each register of its PHY, and there are a hundred of them, with
 * a virtual CPU busy all the time and the kernel locked.  So a delay for a device that is
 * gone is none.
 *
 * Which device a delay is for is not said.  It is taken to be the one that the virtual CPU
 * has read from last, as a delay does not give that up.
 *
 * Who waits for a disk that was stopped waits for who answers in its place (pci_late.c).
 */

#include <sys/param.h>
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

static void	(*delay_tree)(unsigned int);

void
pcihost_reads(bus_space_handle_t handle)
{

	from[cpu_index(curcpu())] = handle;
}

static void
delay_there(unsigned int us)
{
	bus_space_handle_t handle = from[cpu_index(curcpu())];

	pcihost_polls();
	if (us >= LONG && handle != 0 && rumpcomp_pci_is_gone(handle))
		return;
	(*delay_tree)(us);
}

RUMP_COMPONENT(RUMP_COMPONENT_DEV)
{

	delay_tree = delay_func;
	delay_func = delay_there;
}
