using StorageDaemon.Core.Chardev;

namespace StorageDaemon.Shell.Net;

/// <summary>vsock addresses in the kernel's form.</summary>
internal static class VsockName
{
    internal static Outcome<SocketName> Of(VsockAddress address)
    {
        var cid = AddressRules.parseVsockCid(address.Cid);
        if (cid.IsError)
        {
            return Outcome<SocketName>.Fail(cid.ErrorValue);
        }

        var port = AddressRules.parseVsockPort(address.Port);
        return port.IsError
            ? Outcome<SocketName>.Fail(port.ErrorValue)
            : Outcome<SocketName>.Ok(SocketName.OfVsock(cid.ResultValue, port.ResultValue));
    }
}
