namespace StorageDaemon.Core.Qom

open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi

/// What may be known of a `secret` object (qapi/crypto.json, SecretProperties). The secret itself is not here but with
/// the shell: nothing that is printed or listed can contain it.
type Secret = {
    Format: SecretFormat
    KeyId: string option
    Iv: string option
    File: string option
}

/// What may be known of a `secret_keyring` object.
type SecretKeyring = { Common: Secret; Serial: int32 }

/// Where the bytes of a secret come from.
[<RequireQualifiedAccess>]
type SecretSource =
    | Data of string
    | File of path: string
    /// The serial number of a key of the kernel.
    | Keyring of serial: int32

/// A secret for the shell to get and to keep.
[<NoComparison>]
type SecretOrder = {
    Source: SecretSource
    Format: SecretFormat
    /// The secret that is the key of this one, or what is wrong with it; none if it is not encrypted.
    Master: Result<string, QapiError> option
    /// In base64.
    Iv: string option
}

/// The bytes of a secret as they were found, understood.
[<RequireQualifiedAccess; NoComparison>]
type SecretText =
    | Plain of byte array
    /// AES-256 in CBC mode, whole blocks; `Secret.unpad` follows.
    | Encrypted of key: byte array * iv: byte array * text: byte array

module Secret =
    [<Literal>]
    let KeyLength = 32

    [<Literal>]
    let BlockLength = 16

    /// The longest secret in bytes. That of a file that is meant as one is far shorter.
    [<Literal>]
    let MaxBytes = 0x100000

    let private ofCommon (common: SecretCommonProperties) (file: string option) : Secret = {
        Format = defaultArg common.Format SecretFormat.Raw
        KeyId = common.KeyId
        Iv = common.Iv
        File = file
    }

    /// Properties of both classes. What is set afterwards shows but does not change the secret, as in the real daemon.
    let private common: Property<Secret> list = [
        Property.text "iv" _.Iv (fun value secret -> { secret with Iv = Some value })
        Property.text "keyid" _.KeyId (fun value secret -> { secret with KeyId = Some value })
        Property.make "format" "QCryptoSecretFormat" SecretCodecs.format _.Format (fun value secret ->
            Ok { secret with Format = value })
    ]

    [<Literal>]
    let ParentName = "secret_common"

    let commonProperties = common |> List.map (fun property -> property.Name, property.Type)

    let class': ObjectClass<Secret> = {
        Name = "secret"
        Parent = ParentName
        Interfaces = []
        Inherited = common
        Own = [
            Property.text "file" _.File (fun value secret -> { secret with File = Some value })
            // The real daemon shows the secret here.
            Property.text "data" (fun _ -> None) (fun _ secret -> secret)
            |> Property.writeOnly
        ]
    }

    let create (given: SecretProperties) : Secret = ofCommon given.Common given.File

    /// Where the secret comes from; the last check of a new object.
    let source (given: SecretProperties) : Result<SecretSource, QapiError> =
        match given.Data, given.File with
        | Some _, Some _ -> QapiError.fail "'file' and 'data' are mutually exclusive"
        | None, None -> QapiError.fail "Either 'file' or 'data' must be provided"
        | Some data, None -> Ok(SecretSource.Data data)
        | None, Some file -> Ok(SecretSource.File file)

    let createKeyring (given: SecretKeyringProperties) : SecretKeyring = {
        Common = ofCommon given.Common None
        Serial = given.Serial
    }

    /// Understands the bytes that the source gave. `master` is the secret that the order names as key.
    let understand (order: SecretOrder) (raw: byte array) (master: byte array) : Result<SecretText, QapiError> =
        let decoded () =
            match order.Format with
            | SecretFormat.Raw -> Ok raw
            | SecretFormat.Base64 -> Base64.decode raw

        let encrypted iv =
            result {
                let! text = decoded ()

                if text.Length % BlockLength <> 0 then
                    return!
                        "Length "
                        + string text.Length
                        + " must be a multiple of block size "
                        + string BlockLength
                        |> QapiError.fail
                elif text.Length = 0 then
                    return SecretText.Plain [||]
                else
                    return SecretText.Encrypted(master, iv, text)
            }

        match order.Master with
        | None -> decoded () |> Result.map SecretText.Plain
        | Some(Error error) -> Error error
        | Some(Ok _) when master.Length <> KeyLength ->
            QapiError.fail ("Key should be " + string KeyLength + " bytes in length")
        | Some(Ok _) ->
            match order.Iv |> Option.map (Encoding.UTF8.GetBytes >> Base64.decode) with
            | None -> QapiError.fail "IV is required to decrypt secret"
            | Some(Error error) -> Error error
            | Some(Ok iv) when iv.Length <> BlockLength ->
                "IV should be "
                + string BlockLength
                + " bytes in length not "
                + string iv.Length
                |> QapiError.fail
            | Some(Ok iv) -> encrypted iv

    /// Takes the padding (PKCS#7) off decrypted blocks. Only its length is looked at, and none at all is accepted, as
    /// in the real daemon.
    let unpad (blocks: byte array) : Result<byte array, QapiError> =
        let padding = int blocks[blocks.Length - 1]

        if padding > BlockLength then
            "Incorrect number of padding bytes ("
            + string padding
            + ") found on decrypted data"
            |> QapiError.fail
        else
            Ok(Array.truncate (blocks.Length - padding) blocks)

/// The `secret_keyring` object.
module SecretKeyring =
    /// Checks a serial number: keys of the kernel and special keyrings have any other.
    let private checkSerial (serial: int32) =
        if serial = 0 then
            QapiError.fail "'serial' should not be equal to 0"
        else
            Ok()

    let class': ObjectClass<SecretKeyring> = {
        Name = "secret_keyring"
        Parent = Secret.ParentName
        Interfaces = []
        Inherited =
            Secret.class'.Inherited
            |> List.map (Property.within _.Common (fun common keyring -> { keyring with Common = common }))
        Own = [
            Property.make "serial" "int32_t" Codec.int32 _.Serial (fun serial keyring ->
                checkSerial serial |> Result.map (fun () -> { keyring with Serial = serial }))
        ]
    }

    let create (given: SecretKeyringProperties) : Result<SecretKeyring, QapiError> =
        checkSerial given.Serial |> Result.map (fun () -> Secret.createKeyring given)
