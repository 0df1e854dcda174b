/*
 * What the host's hypercalls for PCI can do besides the ones that they must: the
 * tree's pci_user.h includes this.
 */
#ifndef RUMPCOMP_USERFEATURES_PCI_H
#define RUMPCOMP_USERFEATURES_PCI_H

#define RUMPCOMP_USERFEATURE_PCI_DMAFREE	1
#define RUMPCOMP_USERFEATURE_PCI_IOSPACE	1

#endif
