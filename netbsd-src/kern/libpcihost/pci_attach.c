/*
 * Devices of the host come and go while the kernel runs.
 *
 * The tree's component attaches the first bus when the kernel boots.  Here the device in
 * a slot is looked for when the host has put it there; further buses, each of 32
 * devices, are attached when they are needed.  They have what the first has.
 */

#include <sys/param.h>
#include <sys/device.h>
#include <sys/systm.h>

#include <dev/pci/pcivar.h>

#include "rump_private.h"
#include "pci_user.h"
#include "pcihost.h"
#include "rump_pci.h"

/* Of the attribute pci (files.pci): the device, the function. */
#define	LOCATORS	2
#define	LOCATOR_DEVICE	0

volatile int pcihost_attaching;

/* Attaches buses until there is one of that number.  They have it as their unit. */
static device_t
bus_of(int number)
{
	struct pcibus_attach_args pba;
	device_t mainbus, bus;
	int unit;

	mainbus = device_find_by_driver_unit("mainbus", 0);
	for (unit = 0; unit <= number; unit++) {
		bus = device_find_by_driver_unit("pci", unit);
		if (bus != NULL)
			continue;
		if (mainbus == NULL)
			return NULL;
		memset(&pba, 0, sizeof(pba));
		pba.pba_bus = unit;
		pba.pba_iot = (bus_space_tag_t)0;
		pba.pba_memt = (bus_space_tag_t)1;
		pba.pba_dmat = (void *)0x20;
#ifdef _LP64
		pba.pba_dmat64 = (void *)0x40;
#endif
		pba.pba_flags = PCI_FLAGS_IO_OKAY | PCI_FLAGS_MEM_OKAY |
		    PCI_FLAGS_MRL_OKAY | PCI_FLAGS_MRM_OKAY |
		    PCI_FLAGS_MWI_OKAY;
		bus = config_found_ia(mainbus, "pcibus", &pba, pcibusprint);
		if (bus == NULL)
			return NULL;
	}
	return bus;
}

static device_t
child_of(device_t bus, int number)
{
	deviter_t iterator;
	device_t device;

	for (device = deviter_first(&iterator, 0); device != NULL;
	    device = deviter_next(&iterator)) {
		if (device_parent(device) == bus &&
		    device_locator(device, LOCATOR_DEVICE) == number)
			break;
	}
	deviter_release(&iterator);
	return device;
}

int
rump_pci_attach(unsigned number, unsigned slot, char *name)
{
	int locators[LOCATORS] = { slot, 0 };
	device_t bus, device = NULL;

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	pcihost_attaching++;
	pcihost_watch();
	bus = bus_of(number);
	if (bus != NULL) {
		pcirescan(bus, "pci", locators);
		device = child_of(bus, slot);
	}
	if (device != NULL)
		strlcpy(name, device_xname(device), 16);
	pcihost_attaching--;
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
	return device != NULL ? 0 : bus != NULL ? ENXIO : ENODEV;
}

int
rump_pci_detach(const char *name, int gone)
{
	device_t device;
	int error = ENXIO;

	rump_schedule();
	KERNEL_LOCK(1, NULL);
	pcihost_attaching++;
	device = device_find_by_xname(name);
	if (device != NULL)
		error = config_detach(device, gone ? DETACH_FORCE : 0);
	pcihost_attaching--;
	KERNEL_UNLOCK_ONE(NULL);
	rump_unschedule();
	return error;
}
