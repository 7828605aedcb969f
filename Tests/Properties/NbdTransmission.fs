module StorageDaemon.Tests.Properties.NbdTransmission
let x = 1
