namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core
open StorageDaemon.Core.Json

/// A command by its types: what it takes and what it returns.
[<NoEquality; NoComparison>]
type Command<'Arguments, 'Return> = {
    Name: string
    Arguments: StructCodec<'Arguments>
    Returns: Codec<'Return>
    Features: string list
    /// Whether it may be executed out of band.
    AllowOob: bool
    Doc: string
}

/// A command as introspection sees it.
[<NoEquality; NoComparison>]
type CommandSchema = {
    Name: string
    Arguments: ObjectType
    Returns: SchemaType
    Features: string list
    AllowOob: bool
    Doc: string
}

/// A command with what is to be done for it: decodes the arguments and gives them to a typed function.
[<NoEquality; NoComparison>]
type CommandBinding<'Out> = {
    Schema: CommandSchema
    Decode: (string * Json) list -> Result<'Out, QapiError>
}

module Command =
    /// A command that takes and returns something.
    let define name arguments returns : Command<'Arguments, 'Return> = {
        Name = name
        Arguments = arguments
        Returns = returns
        Features = []
        AllowOob = false
        Doc = ""
    }

    /// Says what the command does.
    let does (text: string) (command: Command<'Arguments, 'Return>) = { command with Doc = text }

    let withFeatures features (command: Command<'Arguments, 'Return>) = { command with Features = features }

    /// A command that only takes something.
    let action name arguments =
        define name arguments (StructCodec.codec StructCodec.empty)

    /// A command that only returns something.
    let query name returns = define name StructCodec.empty returns

    let schema (command: Command<'Arguments, 'Return>) : CommandSchema = {
        Name = command.Name
        Arguments = command.Arguments.Type
        Returns = command.Returns.Schema
        Features = command.Features
        AllowOob = command.AllowOob
        Doc = command.Doc
    }

    let decodeArguments (command: Command<'Arguments, 'Return>) members =
        StructCodec.decode Dialect.Json command.Arguments members

    /// The value of `return` in the reply.
    let encodeReturn (command: Command<'Arguments, 'Return>) value = command.Returns.Encode value

    /// What is to be done for a command, with its arguments.
    let bind (command: Command<'Arguments, 'Return>) (handle: 'Arguments -> 'Out) : CommandBinding<'Out> = {
        Schema = schema command
        Decode = fun members -> decodeArguments command members |> Result.map handle
    }

    /// The binding of a command by its name.
    let find (bindings: Map<string, CommandBinding<'Out>>) name : Result<CommandBinding<'Out>, QapiError> =
        match bindings |> Map.tryFind name with
        | Some binding -> Ok binding
        | None -> Error(QapiError.ofClass CommandNotFound ("The command " + name + " has not been found"))

/// An event by its data.
[<NoEquality; NoComparison>]
type Event<'Data> = {
    Name: string
    Data: StructCodec<'Data>
    Features: string list
    Doc: string
}

/// An event as introspection sees it.
[<NoEquality; NoComparison>]
type EventSchema = {
    Name: string
    Data: ObjectType
    Features: string list
    Doc: string
}

module Event =
    let define name data : Event<'Data> = { Name = name; Data = data; Features = []; Doc = "" }

    /// Says what has happened.
    let means (text: string) (event: Event<'Data>) = { event with Doc = text }

    let schema (event: Event<'Data>) : EventSchema = {
        Name = event.Name
        Data = event.Data.Type
        Features = event.Features
        Doc = event.Doc
    }

    /// The value of `data` in the message.
    let encodeData (event: Event<'Data>) data =
        Object(StructCodec.encode event.Data data)
