// The Raft port's Coaty controller extends this class; nothing here instantiates it.
class Controller {}
module.exports = { Controller };
