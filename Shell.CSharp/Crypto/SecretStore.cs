using System;
using System.Collections.Generic;
using System.Security.Cryptography;
using System.Text;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Qom;
using StorageDaemon.Shell.Cli;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Crypto;

/// <summary>
/// The bytes of secrets, by the ids of their objects. They are nowhere else, so that nothing can list or log them.
/// On the control thread only.
/// </summary>
internal sealed class SecretStore
{
    private readonly Dictionary<string, byte[]> _secrets = [];

    /// <summary>The secret of an object, such as a password or a key.</summary>
    internal bool TryGet(string id, out ReadOnlyMemory<byte> secret)
    {
        bool found = _secrets.TryGetValue(id, out byte[]? bytes);
        secret = bytes;
        return found;
    }

    /// <summary>Gets a secret from where it is, decrypts it and keeps it; the error otherwise.</summary>
    internal QapiError? Load(string id, SecretOrder order)
    {
        Outcome<byte[]> raw = Read(order.Source);
        if (raw.Error is not null)
        {
            return raw.ToQapiError();
        }

        FSharpResult<SecretText, QapiError> text = SecretModule.understand(order, raw.Value, MasterOf(order));
        if (text.IsError)
        {
            return text.ErrorValue;
        }

        switch (text.ResultValue)
        {
            case SecretText.Plain plain:
                _secrets[id] = plain.Item;
                return null;
            case SecretText.Encrypted encrypted:
                return LoadEncrypted(id, encrypted);
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    private QapiError? LoadEncrypted(string id, SecretText.Encrypted encrypted)
    {
        Outcome<byte[]> blocks = AesCbc.Decrypt(encrypted.key, encrypted.iv, encrypted.text);
        if (blocks.Error is not null)
        {
            return blocks.ToQapiError();
        }

        FSharpResult<byte[], QapiError> secret = SecretModule.unpad(blocks.Value);
        CryptographicOperations.ZeroMemory(blocks.Value);
        if (secret.IsError)
        {
            return secret.ErrorValue;
        }

        _secrets[id] = secret.ResultValue;
        return null;
    }

    internal void Remove(string id)
    {
        if (_secrets.Remove(id, out byte[]? bytes))
        {
            CryptographicOperations.ZeroMemory(bytes);
        }
    }

    private byte[] MasterOf(SecretOrder order) =>
        order.Master is { Value.IsOk: true } master ? _secrets[master.Value.ResultValue] : [];

    private static Outcome<byte[]> Read(SecretSource source) => source switch
    {
        SecretSource.Data data => Outcome<byte[]>.Ok(Encoding.UTF8.GetBytes(data.Item)),
        SecretSource.File file => ReadFile(file.path),
        SecretSource.Keyring key => KernelKey.Read(key.serial, SecretModule.MaxBytes),
        _ => throw new ArgumentOutOfRangeException(nameof(source)),
    };

    private static Outcome<byte[]> ReadFile(string path)
    {
        FileContent content = BoundedFile.ReadContent(path, SecretModule.MaxBytes);
        string place = "Unable to read " + path + ": ";
        if (content.Error != 0)
        {
            return Outcome<byte[]>.Fail(
                place + (content.IsOpened ? "Error reading" : "Failed to open") + " file “" + path + "”: "
                + Native.Libc.Strerror(content.Error));
        }

        return content.Bytes.Length <= SecretModule.MaxBytes
            ? Outcome<byte[]>.Ok(content.Bytes)
            : Outcome<byte[]>.Fail(place + "The file is too long");
    }
}
